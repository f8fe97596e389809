"""`echosynth search`: let Optuna choose the parameters of one experiment after another."""

import argparse

from echosynth.cli.sweep import show, stoppable
from echosynth.common.errors import EchosynthError


def run(arguments: argparse.Namespace) -> int:
    """Go on to the wanted number of trials, and print their ranking; 1 when none has a score."""
    from echosynth.common.yaml12 import read_yaml
    from echosynth.config.parameters import load_params
    from echosynth.experiments import queue
    from echosynth.experiments.search import read_space, search

    if arguments.trials < 1:
        raise EchosynthError(f"--trials is {arguments.trials}; give 1 or more")
    queue.origin()
    load_params(queue.PARAMS)
    space = read_space(arguments.space, read_yaml(queue.PARAMS))
    with stoppable():
        rows = search(space, arguments.trials)
    show(rows, space.goal)
    return 0 if any(row.scores for row in rows) else 1
