"""`echosynth search`: let Optuna choose the parameters of one experiment after another."""

from pathlib import Path

import click

from echosynth.cli.shared import FILE
from echosynth.cli.sweep import show, stoppable
from echosynth.common.errors import EchosynthError


@click.command()
@click.argument("file", type=FILE, metavar="SPACE.yaml")
@click.option("--trials", type=int, required=True, metavar="N", help="How many in all, earlier calls included.")
def run(file: Path, trials: int) -> int:
    """Let Optuna choose the parameters of one DVC experiment after another, a row each, and print their ranking.

    Called again it goes on. Needs requirements-extra.txt; docs/experiments.md says what SPACE.yaml holds. The exit
    status is 1 when no trial has a score.
    """
    from echosynth.common.yaml12 import read_yaml
    from echosynth.config.parameters import load_params
    from echosynth.experiments import queue
    from echosynth.experiments.search import read_space, search

    if trials < 1:
        raise EchosynthError(f"--trials is {trials}; give 1 or more")
    queue.origin()
    load_params(queue.PARAMS)
    space = read_space(file, read_yaml(queue.PARAMS))
    with stoppable():
        rows = search(space, trials)
    show(rows, space.goal)
    return 0 if any(row.scores for row in rows) else 1
