"""DVC's experiment queue, and the results in git: the only place that talks to DVC.

What changes the queue goes through the `dvc` command. Its state is read through DVC's Python interface, because it is
read every few seconds and `dvc queue status` asks the workers, which may garble the messages of a queue with several
workers (treeverse/dvc-task#73). The workers are DVC's own, but children of this process, which sees at once when one
dies.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from echosynth import git
from echosynth.errors import EchosynthError
from echosynth.files import explained, fingerprint, workspace
from echosynth.track.origin import head
from echosynth.yaml12 import read_yaml

PARAMS = Path("params.yaml")
MESSAGES = Path(".dvc/tmp/exps/celery/broker/in")
METRICS = "reports/metrics.json"
CODE = ("src", "dvc.yaml", "data", "models")  # what DVC takes along from the working tree, and results depend on
BUSY = ("Unable to acquire lock", "is busy", "FileLocked", "index.lock")
BUSY_TRIES, BUSY_SECONDS = 10, 2.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Experiment:
    """One DVC experiment.

    Attributes:
        name: as in `dvc exp show`.
        overrides: `section.key=value` in the syntax of `dvc exp run -S`.
        targets: stages to run; empty for all.
        origin: what `origin()` said when the experiment was named.
        params: fingerprint of params.yaml, as it was read then.
    """

    name: str
    overrides: tuple[str, ...]
    targets: tuple[str, ...]
    origin: str
    params: str


@dataclass(frozen=True)
class State:
    """What is in the queue.

    Attributes:
        queued: names of the experiments that wait.
        running: name of each experiment that was begun and has not ended -> whether its process lives. None lives for
            moments at the start and the end, and for ever when the worker was killed.
        ended: names of the attempts that ended, well or not, and were not removed from the queue.
    """

    queued: frozenset[str]
    running: Mapping[str, bool]
    ended: frozenset[str]


def origin() -> str:
    """What an experiment starts from, besides the parameters: commit and uncommitted changes of tracked code and data.

    Raises:
        EchosynthError: the working directory is no project under git and DVC with a commit.
    """
    if not Path(".dvc").is_dir() or not Path("dvc.yaml").is_file():
        raise EchosynthError("this folder is no DVC project (no .dvc and dvc.yaml); run from the project's root")
    commit = head()
    if not commit:
        raise EchosynthError("this folder has no git commit, which experiments start from; run `git commit` first")
    paths = [path for path in CODE if Path(path).exists()]
    return fingerprint(commit, git.text("diff", "--no-ext-diff", "--binary", "HEAD", "--", *paths))


def put(experiment: Experiment) -> None:
    """Add an experiment to the queue, with the working tree as it is.

    Raises:
        EchosynthError: the working tree is another than when the experiment was named, or DVC refuses.
    """
    if (origin(), fingerprint(read_yaml(PARAMS))) != (experiment.origin, experiment.params):
        raise EchosynthError(
            f"commit, code, data or params.yaml changed since {experiment.name} was planned; call the command again "
            "to run all experiments from the new state"
        )
    overrides = [word for override in experiment.overrides for word in ("-S", override)]
    _dvc("exp", "run", "--queue", "--name", experiment.name, *overrides, *experiment.targets)


def forget(name: str) -> None:
    """Drop what the queue holds under this name, a failed attempt with its log, if there is one."""
    with suppress(EchosynthError):
        _dvc("queue", "remove", name)


def bury(name: str) -> None:
    """Mark a running experiment as failed whose process and worker are gone; one that a worker still holds goes on.

    What `dvc queue kill` does for such an experiment, but without a signal to a process that may have its number.
    """
    from dvc.repo.experiments.queue.exceptions import CannotKillTasksError

    queue = _celery_queue(Path.cwd())
    with suppress(CannotKillTasksError):
        queue._mark_inactive_tasks_failure({entry: name for entry in queue.iter_active() if entry.name == name})


def log_tail(name: str, lines: int = 15) -> list[str]:
    """The last lines that a finished attempt printed; empty when DVC failed before its first stage."""
    with suppress(EchosynthError):
        return _dvc("queue", "logs", name).rstrip().splitlines()[-lines:]
    return []


def state() -> State:
    """What is in the queue now."""
    queue = _celery_queue(Path.cwd())
    # In this order, what moves on meanwhile is seen twice and never lost.
    queued = {entry.name for entry in queue.iter_queued()}
    running = {}
    for entry in queue.iter_active():
        process = queue.proc.get(entry.stash_rev)
        running[entry.name] = bool(process and process.returncode is None and _lives(process.pid))
    ended = {entry.name for _, entry in queue._iter_processed()} - running.keys()
    return State(frozenset(queued - running.keys()), running, frozenset(ended - queued))


def finished() -> frozenset[str]:
    """Names of all experiments that have a result, of whatever commit."""
    return frozenset(ref.rpartition("/")[2] for ref in _references("*"))


def scores(name: str) -> dict[str, float]:
    """Final scores of a finished experiment, "branch.leaf" as in reports/metrics.json; empty where it wrote none."""
    from echosynth.report.summary import flat

    try:
        return flat(json.loads(git.text("show", f"{_references(name)[0]}:{METRICS}")))
    except (EchosynthError, IndexError, ValueError, AttributeError, TypeError):
        return {}


@contextmanager
def alone() -> Iterator[int]:
    """Wait until no other sweep or search of this workspace runs experiments, and keep others waiting.

    Yields:
        Descriptor of the lock. Workers inherit it: when this process is killed, the lock stays until they are done.
    """
    path = workspace() / ".resume" / "experiments.lock"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                "waiting for experiments of another call (`dvc queue status` shows them)", file=sys.stderr, flush=True
            )
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream.fileno()


@dataclass
class Workers:
    """Worker processes of the queue, for a `with` block: stopped gently at its end, at once when it raises.

    Attributes:
        count: most workers at a time.
        lock: descriptor that they inherit, see `alone`.
        died: how many ended in another way than by an empty queue.
    """

    count: int
    lock: int
    died: int = 0
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                if kind is None:
                    process.terminate()  # finishes what it runs, which is somebody else's experiment
                else:
                    os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            try:
                process.wait(None if kind is None else max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def keep(self, queued: int) -> None:
        """Start workers for so many waiting experiments in the place of those that ended."""
        for slot, process in list(self._processes.items()):
            if process.poll() is not None:
                self.died += process.returncode != 0
                del self._processes[slot]
        for slot in sorted(set(range(self.count)) - self._processes.keys())[:queued]:
            if self._processes:
                time.sleep(BUSY_SECONDS)  # two that start at once meet in git's locks (treeverse/dvc#10673)
            self._processes[slot] = self._start(f"echosynth-{slot + 1}@localhost", clean=slot == 0)

    def _start(self, name: str, *, clean: bool) -> subprocess.Popen[bytes]:
        for message in MESSAGES.glob(f"*.{name}.*"):  # left for an earlier one; "shut down" too (treeverse/dvc#10562)
            message.unlink(missing_ok=True)
        with log().open("ab") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", "exp", "queue-worker", name, *(["--clean"] if clean else [])],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(),
                pass_fds=(self.lock,),
                start_new_session=True,  # Ctrl-C reaches this process, which decides
            )


def log() -> Path:
    """Where the workers write; what the experiments print is in `dvc queue logs`."""
    return workspace() / ".resume" / "experiments.log"


@cache
def _celery_queue(root: Path) -> Any:
    """DVC's `LocalCeleryQueue` of a project."""
    from dvc.repo import Repo

    return Repo(str(root)).experiments.celery_queue


def _lives(process: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    return False


def _references(name: str) -> list[str]:
    """Where git keeps the experiments of this name (* for all): refs/exps, two parts of the commit, name."""
    return git.text("for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").split()


def _environment() -> dict[str, str]:
    """The environment in which `dvc` and `python` are those of this process, whether or not its venv is active."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def _dvc(*words: str) -> str:
    """Output of a dvc command, called again while another one holds a lock.

    Raises:
        EchosynthError: it failed; the text is its last line.
    """
    for _ in range(BUSY_TRIES):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words], capture_output=True, text=True, env=_environment(), check=False
        )
        if done.returncode == 0:
            return done.stdout
        if not any(text in done.stderr for text in BUSY):
            break
        time.sleep(BUSY_SECONDS)
    raise EchosynthError(f"`dvc {' '.join(words[:2])}` failed: {_last_line(done.stderr)}")


def _last_line(text: str) -> str:
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: ")
