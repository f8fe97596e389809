"""`echosynth rollback`: the previous champion into use again."""

import argparse


def run(arguments: argparse.Namespace) -> int:
    """Exchange champion and previous."""
    from echosynth.registry.promotion import rollback  # MLflow takes seconds to import

    decision = rollback(arguments.reason)
    print(f"version {decision.after} is the champion again, version {decision.before} the previous one")
    return 0
