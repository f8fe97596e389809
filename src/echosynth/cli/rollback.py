"""`echosynth rollback`: the previous champion into use again."""

import argparse

from echosynth.errors import EchosynthError


def run(arguments: argparse.Namespace) -> int:
    """Exchange champion and previous."""
    if not arguments.reason.strip():
        raise EchosynthError("--reason is empty; say why, for the record")
    from echosynth.track.promotion import rollback  # MLflow takes seconds to import

    decision = rollback(arguments.reason)
    print(f"version {decision.after} is the champion again, version {decision.before} the previous one")
    return 0
