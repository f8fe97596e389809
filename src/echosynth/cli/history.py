"""`echosynth history`: versions, and the decisions on them."""

from collections.abc import Mapping
from typing import Any

import click

from echosynth.cli.shared import aligned, json_option, print_json


def version_rows(history: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Make a heading and a row of cells for each version, the newest first."""
    names = list(dict.fromkeys(name for version in history["versions"] for name in version["scores"]))
    heading = ("version", "aliases", "registered", *(name.removeprefix("test.") for name in names))
    rows = []
    for version in history["versions"]:
        scores = [f"{version['scores'][name]:.3f}" if name in version["scores"] else "" for name in names]
        rows.append((version["version"], " ".join(version["aliases"]), version["created"][:16], *scores))
    return [heading, *rows]


def decision_rows(history: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Make a heading and a row of cells for each decision, the oldest first."""
    rows = []
    for one in history["decisions"]:
        outcome = "accepted" if one["accepted"] else f"refused by {', '.join(one['failed'])}"
        change = f"{one['before'] or 'none'} -> {one['after'] or 'none'}"
        rows.append((one["when"][:19], one["action"], one["version"], change, one["who"], outcome, one["why"]))
    return [("when (UTC)", "decision", "version", "champion", "who", "outcome", "why"), *rows]


@click.command()
@json_option
def run(as_json: bool) -> int:
    """List all versions in the registry, and all decisions on them."""
    from echosynth.registry.decisions import history  # MLflow takes seconds to import

    found = history()
    if as_json:
        print_json(found)
        return 0
    print("\n".join(aligned(version_rows(found))) if found["versions"] else "no version is registered")
    print()
    print("\n".join(aligned(decision_rows(found))) if found["decisions"] else "nothing was decided yet")
    return 0
