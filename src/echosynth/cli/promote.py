"""`echosynth promote`: a version through the gates into use."""

import sys
from typing import TYPE_CHECKING

import click

from echosynth.cli.shared import aligned, json_option, print_json

if TYPE_CHECKING:
    from echosynth.registry.decisions import Decision


def print_table(decision: "Decision") -> None:
    """Print the gates, a line each, and what should be known besides."""
    rows = [(gate.name, gate.limit, gate.value, "yes" if gate.passed else "NO") for gate in decision.gates]
    print("\n".join(aligned([("gate", "limit", "found", "passed"), *rows])))
    for note in decision.notes:
        print(f"note: {note}")


def outcome(decision: "Decision", dry_run: bool) -> str:
    """Say in one line what became of a version."""
    what = f"version {decision.version}"
    if not decision.accepted:
        from echosynth.registry.gates import NOT_GIVEN

        kept = f"version {decision.before} stays champion" if decision.before else "there is no champion"
        failed = [gate for gate in decision.gates if not gate.passed]
        names = [f"{gate.name} ({gate.value})" if gate.value.startswith(NOT_GIVEN) else gate.name for gate in failed]
        return f"{what} is refused by: {', '.join(names)}; {kept}"
    if dry_run:
        return f"{what} passes every gate; nothing was changed"
    return f"{what} is the champion now" + (f", version {decision.before} the previous one" if decision.before else "")


@click.command()
@click.argument("version", required=False)
@click.option(
    "--reason", default="", show_default=False, metavar="TEXT", help="Why, for the record; promoting needs it."
)
@click.option("--dry-run", is_flag=True, help="Check the gates and change nothing.")
@click.option("--unlock", "remove_claim", is_flag=True, help="Only remove what a killed promotion or rollback left.")
@json_option
def run(version: str | None, reason: str, dry_run: bool, remove_claim: bool, as_json: bool) -> int:
    """Make VERSION (without it: the newest) the champion, if it passes the gates.

    Checks it on the real test images, against the gates of params.yaml and against the champion, and prints the table.
    The exit status is 1 when a gate refuses it.
    """
    from echosynth.config.parameters import load_params  # MLflow and PyTorch take seconds to import
    from echosynth.registry.promotion import promote, unlock

    if remove_claim:
        holder = unlock()
        print(f"removed the claim of {holder}" if holder else "nobody holds the registry")
        return 0
    decision = promote(load_params(), version, reason, dry_run=dry_run)
    said = outcome(decision, dry_run)
    if as_json:
        print_json(decision.as_json() | {"dry_run": dry_run})
    else:
        print_table(decision)
    sys.stdout.flush()
    if decision.accepted:
        print(said, file=sys.stderr if as_json else sys.stdout)
        return 0
    print(f"error: {said}", file=sys.stderr)
    return 1
