"""`echosynth sweep`: run a grid of experiments and rank them."""

import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from echosynth.cli.shared import FILE
from echosynth.common.errors import EchosynthError

if TYPE_CHECKING:
    from echosynth.experiments.grid import Goal
    from echosynth.experiments.ranking import Row
    from echosynth.experiments.sweep import Failure

MANY = 500


@click.command()
@click.argument("file", type=FILE, metavar="GRID.yaml")
@click.option("--workers", type=int, default=1, metavar="N", help="Experiments at a time.")
@click.option("--dry-run", is_flag=True, help="Show the experiments and run none.")
def run(file: Path, workers: int, dry_run: bool) -> int:
    """Run every combination of a grid as a DVC experiment, and rank all by a score.

    GRID.yaml names parameters and the values of each (docs/experiments.md). What failed is tried once more. Called
    again it goes on where it was. The exit status is 1 when an experiment has no result.
    """
    from echosynth.common.yaml12 import read_yaml
    from echosynth.config.parameters import load_params
    from echosynth.experiments import queue
    from echosynth.experiments.grid import experiment, read_grid
    from echosynth.experiments.ranking import Row
    from echosynth.experiments.sweep import execute

    if workers < 1:
        raise EchosynthError(f"--workers is {workers}; give 1 or more")
    origin = queue.origin()
    load_params(queue.PARAMS)
    base = read_yaml(queue.PARAMS)
    grid = read_grid(file, base)
    values = {
        planned: chosen for chosen in grid.combinations() for planned in [experiment(base, chosen, grid.goal, origin)]
    }
    finished = queue.finished()
    there = sum(planned.name in finished for planned in values)
    print(f"{file}: {_experiments(len(values))}, {there} of them with a result", file=sys.stderr, flush=True)
    if len(values) > MANY:
        print(
            f"this is more than {MANY} times the pipeline; Ctrl-C stops it, what is done stays, and called again it "
            "goes on",
            file=sys.stderr,
            flush=True,
        )
    if dry_run:
        for planned in values:
            print(f"{'has a result' if planned.name in finished else 'to be run':12}  {planned.name}")
        return 0
    with stoppable():
        failed = execute(list(values), workers, score=grid.goal.score)
    rows = [
        Row(planned.name, chosen, queue.scores(planned.name))
        for planned, chosen in values.items()
        if planned.name not in failed
    ]
    show(rows, grid.goal)
    show_failed(failed)
    return 1 if failed else 0


@contextmanager
def stoppable() -> Iterator[None]:
    """End the block on Ctrl-C or SIGTERM with one sentence; what runs inside stops its workers.

    Raises:
        EchosynthError: it was stopped.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise EchosynthError("stopped; call the same command again to go on") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def show(rows: "Sequence[Row]", goal: "Goal") -> None:
    """Print the ranking, and how to see it again and take the best one into the workspace."""
    from echosynth.experiments.ranking import command, ranked, table

    if not rows:
        return
    print(table(rows, goal, shutil.get_terminal_size().columns))
    print(f"\nAgain: {command(rows, goal)}")
    best = ranked(rows, goal)[0]
    if goal.score in best.scores:
        print(f"The best one into the workspace: dvc exp apply {best.name}")
    sys.stdout.flush()
    if goal.score not in best.scores:
        print(f"No experiment has {goal.score}, so there is no order", file=sys.stderr)


def show_failed(failed: "Mapping[str, Failure]") -> None:
    """Say on stderr what has no result and why, with the last lines of each log."""
    for name, failure in failed.items():
        print(f"\n{name} {failure.why}{':' if failure.log else ''}", file=sys.stderr)
        for line in failure.log:
            print(f"    {line}", file=sys.stderr)
    if failed:
        print(f"\nerror: {_experiments(len(failed))} without a result; call again to try again", file=sys.stderr)


def _experiments(number: int) -> str:
    return f"{number} experiment{'' if number == 1 else 's'}"
