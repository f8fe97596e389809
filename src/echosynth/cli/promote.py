"""`echosynth promote`: a version through the gates into use."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from echosynth.cli.sources import aligned

if TYPE_CHECKING:
    from echosynth.registry.decisions import Decision


def print_table(decision: "Decision") -> None:
    """The gates, a line each, and what should be known besides."""
    rows = [(gate.name, gate.limit, gate.value, "yes" if gate.passed else "NO") for gate in decision.gates]
    print("\n".join(aligned([("gate", "limit", "found", "passed"), *rows])))
    for note in decision.notes:
        print(f"note: {note}")


def outcome(decision: "Decision", dry_run: bool) -> str:
    """What became of it, in one line."""
    what = f"version {decision.version}"
    if not decision.accepted:
        kept = f"version {decision.before} stays champion" if decision.before else "there is no champion"
        return f"{what} is refused by: {', '.join(decision.failed)}; {kept}"
    if dry_run:
        return f"{what} passes every gate; nothing was changed"
    return f"{what} is the champion now" + (f", version {decision.before} the previous one" if decision.before else "")


def run(arguments: argparse.Namespace) -> int:
    """Print the table of gates and the outcome; exit status 1 when a gate refuses."""
    from echosynth.config.parameters import load_params  # MLflow and PyTorch take seconds to import
    from echosynth.registry.promotion import promote, unlock

    if arguments.unlock:
        holder = unlock()
        print(f"removed the claim of {holder}" if holder else "nobody holds the registry")
        return 0
    decision = promote(load_params(), arguments.version, arguments.reason, dry_run=arguments.dry_run)
    said = outcome(decision, arguments.dry_run)
    if arguments.json:
        print(json.dumps(decision.as_json() | {"dry_run": arguments.dry_run}, indent=2, ensure_ascii=False))
    else:
        print_table(decision)
    sys.stdout.flush()
    if decision.accepted:
        print(said, file=sys.stderr if arguments.json else sys.stdout)
        return 0
    print(f"error: {said}", file=sys.stderr)
    return 1
