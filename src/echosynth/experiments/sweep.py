"""Run many experiments through DVC's queue until each has a result, or failed twice."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from echosynth.errors import EchosynthError
from echosynth.experiments import queue
from echosynth.experiments.queue import Experiment
from echosynth.progress import progress

TRIES = 2
SETUP_TRIES = 5  # when DVC fails before the first stage: workers that meet in a lock of git
POLL_SECONDS = 2.0
LOOKS = 15  # longer than an experiment has no process at its start and its end
DEATHS = 5  # of workers in a row without a result, before it is given up


def execute(experiments: Sequence[Experiment], workers: int, what: str = "sweep") -> dict[str, list[str]]:
    """Run what has no result yet, `workers` at a time, showing progress on stderr.

    What an earlier call queued is run too, what it left half-done is begun again (trainings go on where they were), and
    what failed is tried once more. Killed at any moment, it goes on when called again.

    Args:
        experiments: with names that differ.
        workers: experiments at a time.
        what: name of the work in progress lines.

    Returns:
        Name -> last lines of the log, of those that failed twice.

    Raises:
        EchosynthError: DVC refuses to queue one, or its workers die again and again.
    """
    failed: dict[str, list[str]] = {}
    done = queue.finished()
    open_ = {experiment.name: experiment for experiment in experiments if experiment.name not in done}
    if not open_:
        return failed
    with queue.alone() as lock:
        _queue_missing(open_)
        with queue.Workers(workers, lock) as team:
            events = _events(open_, team, failed)
            total, before = len(experiments), len(experiments) - len(open_)
            for _ in progress(events, total, what, unit="experiments", start=before):
                pass
    _close_dead_runs()
    return failed


def _queue_missing(open_: dict[str, Experiment]) -> None:
    """Queue what is neither waiting nor running; what a killed worker left behind counts as not running."""
    state = queue.state()
    for name in state.running.keys() & open_.keys():
        if not state.running[name]:
            queue.bury(name)
    state, finished = queue.state(), queue.finished()
    there = state.queued | state.running.keys() | finished
    missing = [experiment for name, experiment in open_.items() if name not in there]
    for experiment in progress(missing, len(missing), "queueing", unit="experiments"):
        if experiment.name in state.ended:
            _again(experiment)
        else:
            queue.put(experiment)


def _events(open_: dict[str, Experiment], team: queue.Workers, failed: dict[str, list[str]]) -> Iterator[str]:
    """Watch over the queue; yields the name of each experiment that ended, and fills `failed`."""
    waiting, tries, attempts = set(open_), Counter[str](), Counter[str]()
    lifeless = Counter[str]()  # looks in a row at which an experiment that runs had no process
    deaths = 0
    while waiting:
        state = queue.state()
        finished = queue.finished()
        team.keep(len(state.queued))
        if team.died - deaths >= DEATHS:
            raise EchosynthError(f"DVC's queue workers end again and again; see {queue.log()} for the reason")
        for name in sorted(waiting):
            if name in finished:
                deaths = team.died
            elif name in state.queued or name in state.running:
                continue
            else:
                lines = queue.log_tail(name)
                attempts[name] += 1
                tries[name] += bool(lines)
                lines = lines or [f"DVC failed before the first stage; see {queue.log()}"]
                if tries[name] < TRIES and attempts[name] < SETUP_TRIES:
                    _say(f"{name} failed and is tried once more")
                    _close_dead_runs()
                    try:
                        _again(open_[name])
                        continue
                    except EchosynthError as error:  # the others go on
                        lines.append(str(error))
                failed[name] = lines
            waiting.remove(name)
            yield name
        lifeless = Counter(
            {name: lifeless[name] + 1 for name in waiting & state.running.keys() if not state.running[name]}
        )
        for name, looks in lifeless.items():
            if looks >= (2 if team.died else LOOKS):  # its worker was killed, and it would seem to run for ever
                queue.bury(name)
        if waiting:
            time.sleep(POLL_SECONDS)


def _again(experiment: Experiment) -> None:
    """Queue what failed."""
    queue.forget(experiment.name)
    queue.put(experiment)


def _close_dead_runs() -> None:
    """Mark the MLflow runs of killed experiments as failed."""
    from echosynth.track import runs

    for name in runs.close_dead():
        _say(f"the run {name} of a killed process is marked as failed")


def _say(text: str) -> None:
    """A line on stderr, above the bar where there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
