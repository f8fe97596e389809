"""The processes that run experiments: DVC's queue workers, what each is at work on, and what the killed ones leave.

Only the process table is asked. A worker that is about to end does not answer DVC's questions any more, and one that is
slow does not answer in time, so that no answer says nothing about whether it lives.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped]
from tqdm import tqdm

from echosynth.common.files import explained, workspace

EXPERIMENTS = Path(".dvc/tmp/exps")
MESSAGES = EXPERIMENTS / "celery/broker/in"
PAUSE_SECONDS = 2.0
STOP_SECONDS = 60.0
IDLE_LOOKS = 30
LOOK_SECONDS = 2.0


@contextmanager
def alone() -> Iterator[int]:
    """Wait until no other sweep or search of this workspace runs experiments, and keep others waiting.

    A worker that outlives its sweep and never goes is asked to go, see `_Idle`.

    Yields:
        Descriptor of the lock. Workers inherit it: when this process is killed, the lock stays until they are done.
    """
    path = workspace() / ".resume" / "experiments.lock"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    with stream:
        if not _locked(stream):
            say("waiting for experiments of another call (`dvc queue status` shows them)")
            idle = _Idle()
            while not _locked(stream):
                idle.dismiss(process.pid for process in _processes("queue-worker"))
                time.sleep(LOOK_SECONDS)
        yield stream.fileno()


def _locked(stream: IO[str]) -> bool:
    """Whether this process has the lock now."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass
class _Idle:
    """Asks workers to go that had nothing to do for long: one whose question to itself got lost never goes by itself.

    One that only seems idle finishes what it runs (as it would on an empty queue). One that stays is named: an
    experiment without a process may be its own, and is waited for. `dvc queue stop` asks all workers, and with `--kill`
    ends all experiments, so that it is no help here.
    """

    _looks: Counter[int] = field(default_factory=Counter)  # process -> looks in a row at which it had nothing to do

    def dismiss(self, workers: Iterable[int]) -> None:
        """Look at these processes once more."""
        for worker in workers:
            self._looks[worker] = 0 if _work(worker) else self._looks[worker] + 1
            if self._looks[worker] == IDLE_LOOKS:
                with suppress(psutil.Error):
                    psutil.Process(worker).terminate()
            elif self._looks[worker] == 2 * IDLE_LOOKS:
                say(
                    f"queue worker {worker} has run no stage for minutes and does not go when it is asked to; unless "
                    f"it copies or stores much data now, `kill -9 {worker}` ends it, and what it holds begins again"
                )


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
    _idle: _Idle = field(default_factory=_Idle)

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
            if kind is None:
                self._see_off(process)
                continue
            try:
                process.wait(max(0.0, until - time.monotonic()))
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
        if not queued:
            self._idle.dismiss(process.pid for process in _processes("queue-worker"))
        for slot in sorted(set(range(self.count)) - self._processes.keys())[:queued]:
            if self._processes:
                time.sleep(PAUSE_SECONDS)  # two that start at once meet in git's locks (treeverse/dvc#10673)
            self._processes[slot] = self._start(f"echosynth-{slot + 1}@localhost", clean=slot == 0)

    def _see_off(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a worker that was asked to go."""
        if _work(process.pid):
            say(f"waiting for an experiment of another call, which queue worker {process.pid} runs")
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)
                return
            self._idle.dismiss([process.pid])

    def _start(self, name: str, *, clean: bool) -> subprocess.Popen[bytes]:
        for message in MESSAGES.glob(f"*.{name}.*"):  # left for an earlier one; "shut down" too (treeverse/dvc#10562)
            message.unlink(missing_ok=True)
        with log().open("ab") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", "exp", "queue-worker", name, *(["--clean"] if clean else [])],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment(),
                pass_fds=(self.lock,),
                start_new_session=True,  # Ctrl-C reaches this process, which decides
            )


def log() -> Path:
    """Return the file that the workers write to; what the experiments print is in `dvc queue logs`."""
    return workspace() / ".resume" / "experiments.log"


def environment() -> dict[str, str]:
    """Return an environment in which `dvc` and `python` are those of this process, be its venv active or not."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def say(text: str) -> None:
    """Print a line on stderr, above the bar where there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def experiment_of(process: int) -> str:
    """Return the hash (`stash_rev`) of what a process runs that is a living `dvc exp exec-run`, else empty text."""
    with suppress(psutil.Error):
        words = psutil.Process(process).cmdline()  # of a dead one that nobody has waited for: nothing
        if "exec-run" in words and "--infofile" in words:
            return Path(words[words.index("--infofile") + 1]).stem
    return ""


def at_work() -> list[str]:
    """Find out what each queue worker of this project is at work on, whoever started it.

    Returns:
        For each one: the hash of the experiment whose process it runs, and empty text for one that has no such process,
        which may be idle, or begin or end any experiment.
    """
    return [_work(process.pid) for process in _processes("queue-worker")]


def end_orphans(names: Collection[str]) -> None:
    """End the stages of these experiments that still run though the `dvc` above them was killed.

    Nobody would take their results, and the experiment that begins again would run beside them.
    """
    root, left = str(Path.cwd()), []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            if variables.get("DVC_EXP_NAME") in names and variables.get("DVC_ROOT") == root:
                left.append(process)
    for process in left:
        with suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(left, timeout=STOP_SECONDS)[1]:
        with suppress(psutil.Error):
            process.kill()


def remove_copies() -> None:
    """Remove the copies of the project that killed workers left; none while somebody here is at work in one."""
    left = list(EXPERIMENTS.glob("tmp*"))  # before the look at who is there: a copy made since is none of these
    if _processes("queue-worker") or _processes("exec-run"):
        return
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)


def _work(worker: int) -> str:
    """Hash of the experiment whose process a worker runs, or empty."""
    with suppress(psutil.Error):
        return next(filter(None, (experiment_of(child.pid) for child in psutil.Process(worker).children())), "")
    return ""


def _processes(word: str) -> list[psutil.Process]:
    """The processes of `dvc exp <word>` in this project."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if ("exp", word) in pairwise(words) and Path(process.cwd()).is_relative_to(Path.cwd()):
                found.append(process)
    return found
