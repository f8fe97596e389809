"""DVC's experiment queue, and the results in git: the only place that talks to DVC.

What changes the queue goes through the `dvc` command. Its state is read through DVC's Python interface, because it is
read every few seconds and `dvc queue status` asks the workers, which may garble the messages of a queue with several
workers (treeverse/dvc-task#73).
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from echosynth.common import git
from echosynth.common.errors import EchosynthError
from echosynth.common.files import fingerprint, full_disk
from echosynth.common.yaml12 import read_yaml
from echosynth.experiments import workers
from echosynth.tracking import history
from echosynth.tracking.origin import head

PARAMS = Path("params.yaml")
METRICS = "reports/metrics.json"
CODE = ("src", "dvc.yaml", "data", "models")  # what DVC takes along from the working tree, and results depend on
LOCKS = ":(exclude,glob)**/dvc.lock"  # what was run, not what is to be run
BUSY = ("Unable to acquire lock", "is busy", "FileLocked", "index.lock")
BUSY_TRIES, BUSY_SECONDS = 10, 2.0


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
class QueueState:
    """What is in the queue.

    Attributes:
        queued: names of the experiments that wait.
        running: name of each experiment that was begun and has not ended -> whether somebody may be at work on it;
            nobody when its worker was killed.
        ended: names of the attempts that ended, well or not, and were not removed from the queue.
    """

    queued: frozenset[str]
    running: Mapping[str, bool]
    ended: frozenset[str]


def origin() -> str:
    """Fingerprint what an experiment starts from besides the parameters: commit, changes of tracked code and data.

    Raises:
        EchosynthError: the working directory is no project under git and DVC with a commit.
    """
    if not Path(".dvc").is_dir() or not Path("dvc.yaml").is_file():
        raise EchosynthError("this folder is no DVC project (no .dvc and dvc.yaml); run from the project's root")
    commit = head()
    if not commit:
        raise EchosynthError("this folder has no git commit, which experiments start from; run `git commit` first")
    paths = [*(path for path in CODE if Path(path).exists()), LOCKS]
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


def bury(name: str) -> bool:
    """Mark a begun experiment as failed on which nobody is at work; any other goes on.

    What `dvc queue kill` does for such an experiment, but without a signal to a process that may have its number, and
    without a question to the workers: one that is about to end does not answer and finishes its experiment, which
    would then run twice.

    Returns:
        Whether it was marked; it was not if somebody has it after all, or if it has ended by itself meanwhile.
    """
    queue = _celery_queue(Path.cwd())
    lost = [task for task, held in _begun(queue) if task.entry.name == name and not held]
    for task in lost:
        queue.celery.backend.mark_as_failure(task.async_result.id, None)
    return bool(lost)


def log_tail(name: str, lines: int = 15) -> list[str]:
    """Return the last lines that a finished attempt printed; none when DVC failed before its first stage."""
    with suppress(EchosynthError):
        return _dvc("queue", "logs", name).rstrip().splitlines()[-lines:]
    return []


def state() -> QueueState:
    """Look at what is in the queue now."""
    queue = _celery_queue(Path.cwd())
    # In this order, what moves on meanwhile is seen twice and never lost.
    queued = {entry.name for entry in queue.iter_queued()}
    running: dict[str, bool] = {}
    for task, held in _begun(queue):
        running[task.entry.name] = held or running.get(task.entry.name, False)
    ended = {entry.name for _, entry in queue._iter_processed()} - running.keys()
    return QueueState(frozenset(queued - running.keys()), running, frozenset(ended - queued))


def abandoned(state: QueueState) -> list[str]:
    """Name the experiments that DVC shows as running although nobody is at work on them."""
    return sorted(name for name, held in state.running.items() if not held)


def advice(name: str) -> str:
    """Say what to do about an abandoned experiment: DVC takes it neither up again nor out of the queue as it is."""
    return (
        f"{name}: DVC shows it as running, but its queue worker is gone; `dvc queue kill {name}` marks it as failed, "
        f"and queued again under this name (`dvc exp run --queue -n {name} ...`) it goes on"
    )


def finished() -> frozenset[str]:
    """Name all experiments that have a result, of whatever commit."""
    return frozenset(name for name, _, _ in history.experiments())


def scores(name: str) -> dict[str, float]:
    """Read the final scores of a finished experiment, "branch.leaf" as in reports/metrics.json.

    Empty where its stages did not reach the report.
    """
    found = history.experiments(name)
    return history.scores_of(found[0][2]) if found else {}


@cache
def _celery_queue(root: Path) -> Any:
    """DVC's `LocalCeleryQueue` of a project."""
    from dvc.repo import Repo

    return Repo(str(root)).experiments.celery_queue


def _begun(queue: Any) -> list[tuple[Any, bool]]:
    """DVC's task of each experiment that was begun and has not ended, and whether somebody may be at work on it.

    Somebody is while its process lives, and may be while a worker has no process: at its start and its end. A worker
    has one experiment at a time, so that one with the process of another is none for this one. The workers are looked
    at last: what nobody holds then, nobody takes any more.
    """
    tasks = list(queue._iter_active_tasks())
    processes = [queue.proc.get(task.entry.stash_rev) for task in tasks]
    living = [
        process is not None and workers.experiment_of(process.pid) == task.entry.stash_rev
        for task, process in zip(tasks, processes, strict=True)
    ]
    work = workers.at_work() if not all(living) else []
    return [
        (task, lives or any(other in ("", task.entry.stash_rev) for other in work))
        for task, lives in zip(tasks, living, strict=True)
    ]


def _dvc(*words: str) -> str:
    """Output of a dvc command, called again while another one holds a lock.

    Raises:
        EchosynthError: it failed; the text is its last line.
    """
    for _ in range(BUSY_TRIES):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words],
            capture_output=True,
            text=True,
            env=workers.environment(),
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
        if not any(text in done.stderr for text in BUSY):
            break
        time.sleep(BUSY_SECONDS)
    said = _last_line(done.stderr)
    if full := full_disk(OSError(said)):
        raise EchosynthError(f"cannot write {workers.EXPERIMENTS}: {full} and run again")
    raise EchosynthError(f"`dvc {' '.join(words[:2])}` failed: {said}")


def _last_line(text: str) -> str:
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: ")
