"""`echosynth rollback`: the previous champion into use again."""

import click


@click.command()
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the record.")
def run(reason: str) -> int:
    """Exchange champion and previous; the decision is written down like a promotion."""
    from echosynth.registry.promotion import rollback  # MLflow takes seconds to import

    decision = rollback(reason)
    print(f"version {decision.after} is the champion again, version {decision.before} the previous one")
    return 0
