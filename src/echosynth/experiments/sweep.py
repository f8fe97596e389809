"""Run many experiments through DVC's queue until each has a result, or is given up."""

import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress
from echosynth.experiments import queue, rows, workers
from echosynth.experiments.queue import Experiment, QueueState
from echosynth.experiments.ranking import SHORTEST_NAME, cut
from echosynth.experiments.workers import Workers, say
from echosynth.tracking import closing

TRIES = 2
SETUP_TRIES = 5  # when DVC fails before the first stage (workers that meet in a lock of git), or the worker is killed
POLL_SECONDS = 2.0
DEATHS = 5  # of workers in a row without a result, before it is given up


@dataclass(frozen=True)
class Failure:
    """Why an experiment has no result.

    Attributes:
        why: what happened, in words that follow its name.
        log: last lines that its last attempt printed; none when DVC failed before its first stage, or was killed.
    """

    why: str
    log: Sequence[str]


def execute(experiments: Sequence[Experiment], count: int, what: str = "sweep", score: str = "") -> dict[str, Failure]:
    """Run what has no result yet, `count` at a time, showing progress on stderr.

    What an earlier call queued is run too, what it left half-done is begun again (trainings go on where they were), and
    what failed is tried once more. Killed at any moment, it goes on when called again.

    Args:
        experiments: with names that differ.
        count: experiments at a time.
        what: name of the work in progress lines.
        score: the number that they are run for; the first one that has a result without it is named at once.

    Returns:
        Name -> what happened, of those without a result.

    Raises:
        EchosynthError: DVC refuses to queue one, or its workers die again and again.
    """
    failed: dict[str, Failure] = {}
    done = queue.finished()
    open_ = {experiment.name: experiment for experiment in experiments if experiment.name not in done}
    if not open_:
        _settle(experiments, (), ())
        return failed
    with workers.alone() as lock:
        workers.remove_copies()
        _queue_missing(open_)
        try:
            with Workers(count, lock) as team:
                events = _events(_Watch(open_, failed), team)
                total, before = len(experiments), len(experiments) - len(open_)
                for name in progress(events, total, what, unit="experiments", start=before):
                    if score and name not in failed and score not in queue.scores(name):
                        say(f"{name} has a result without {score}; Ctrl-C stops the others")
                        score = ""
        finally:
            workers.remove_copies()
        _settle(experiments, open_, failed)
    return failed


def _queue_missing(open_: dict[str, Experiment]) -> None:
    """Queue what is neither waiting nor running; what a killed worker left behind counts as not running."""
    state = queue.state()
    for name in queue.abandoned(state):
        if name in open_:
            queue.bury(name)
        else:
            say(queue.advice(name))
    state, finished = queue.state(), queue.finished()
    if others := sorted(state.queued - open_.keys()):
        say(
            f"{', '.join(others)}: queued by another call, and run first; `dvc queue remove NAME` takes one out of the "
            "queue"
        )
    there = state.queued | state.running.keys() | finished
    missing = [experiment for name, experiment in open_.items() if name not in there]
    workers.end_orphans([experiment.name for experiment in missing])
    for experiment in progress(missing, len(missing), "queueing", unit="experiments"):
        if experiment.name in state.ended:
            queue.forget(experiment.name)
        queue.put(experiment)


@dataclass
class _Watch:
    """What became of the attempts so far.

    Attributes:
        open_: the experiments, by name.
        failed: name -> what happened to those that are given up; filled here.
    """

    open_: dict[str, Experiment]
    failed: dict[str, Failure]
    _tries: Counter[str] = field(default_factory=Counter)  # those that failed by themselves
    _attempts: Counter[str] = field(default_factory=Counter)
    _lost: set[str] = field(default_factory=set)

    def bury(self, state: QueueState) -> None:
        """Give up the attempts whose worker is gone, which would seem to run for ever.

        It was killed, or had waited in vain for ten seconds and ended just when it was handed the experiment: DVC's
        workers then drop it.
        """
        for name in queue.abandoned(state):
            if name in self.open_ and queue.bury(name):
                self._lost.add(name)

    def begin_again(self, name: str) -> bool:
        """Queue an experiment again that ended without a result.

        Returns:
            Whether it was worth it; if not, it is noted as failed.
        """
        killed = name in self._lost
        self._lost.discard(name)
        lines = [] if killed else queue.log_tail(name)
        self._attempts[name] += 1
        self._tries[name] += bool(lines)
        what = "its worker is gone" if killed else "DVC failed before the first stage"
        again = f"{name} failed and is tried once more" if lines else f"{name}: {what}; it begins again"
        what = "it failed" if lines else f"{what} (see {workers.log()})"
        if self._tries[name] == TRIES:
            why = f"failed twice (`dvc queue logs {name}` shows all)"
        elif self._attempts[name] == SETUP_TRIES:
            why = f"has no result after {SETUP_TRIES} attempts; at the last one {what}"
        else:
            workers.end_orphans([name])
            _close_dead_runs()
            try:
                queue.forget(name)
                queue.put(self.open_[name])
                say(again)
                return True
            except EchosynthError as error:  # the others go on
                why = f"has no result: {what}, and it could not be queued again: {error}"
        self.failed[name] = Failure(why, lines)
        return False


class _Running:
    """Says what runs now: on a terminal in a line below the bar, elsewhere once for each attempt that begins."""

    def __init__(self) -> None:
        self._line = tqdm(bar_format="{desc}", leave=False, disable=None)
        self._names: frozenset[str] = frozenset()

    def __enter__(self) -> "_Running":
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def show(self, names: Iterable[str], queued: int) -> None:
        """Say it of these experiments, while so many others wait."""
        before, self._names = self._names, frozenset(names)
        if self._line.disable:
            for name in sorted(self._names - before):
                say(f"{name} runs now, {queued} waiting")
            return
        width = shutil.get_terminal_size().columns - 1  # a line that wraps would be left behind
        text = f"{queued} waiting, running now: "
        room = max(SHORTEST_NAME, (width - len(text)) // max(1, len(self._names)) - 2)
        shown = ", ".join(cut(name, room) for name in sorted(self._names)) or "none"
        self._line.set_description_str(f"{text}{shown}"[:width])


def _events(watch: _Watch, team: Workers) -> Iterator[str]:
    """Watch over the queue, and yield the name of each experiment that ended."""
    waiting = set(watch.open_)
    deaths = 0
    with _Running() as running:
        while waiting:
            state = queue.state()
            finished = queue.finished()
            watch.bury(state)
            running.show(state.running, len(state.queued))
            team.keep(len(state.queued))
            if team.died - deaths >= DEATHS:
                raise EchosynthError(f"DVC's queue workers end again and again; see {workers.log()} for the reason")
            for name in sorted(waiting):
                if name in finished:
                    deaths = team.died
                elif name in state.queued or name in state.running or watch.begin_again(name):
                    continue
                waiting.remove(name)
                yield name
            if waiting:
                time.sleep(POLL_SECONDS)


def _close_dead_runs() -> None:
    """Mark the MLflow runs of killed experiments as failed; where their store does not answer, later calls do."""
    try:
        for name in closing.close_dead():
            say(f"the run {name} of a killed process is marked as failed")
    except EchosynthError as error:
        say(f"runs of killed processes are not looked for: {error}")


def _settle(experiments: Sequence[Experiment], open_: Collection[str], failed: Collection[str]) -> None:
    """See to the rows of all experiments of this call, as one that was stopped may have left some behind.

    Args:
        experiments: all of them; what did not fail has a result now.
        open_: names of those that had none at the start.
        failed: names of those that have none still.
    """
    _close_dead_runs()
    kept = [experiment.name for experiment in experiments if experiment.name not in failed]
    try:
        if without := [name for name in rows.settle(kept, failed) if name in open_]:
            say(
                f"{', '.join(without)}: DVC took everything from its cache, so there is no new row in MLflow; "
                "`echosynth sync` adds results that have none"
            )
    except EchosynthError as error:
        say(f"the rows of these experiments are not looked at: {error}")
