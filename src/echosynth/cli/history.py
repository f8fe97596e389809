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
    """Make a heading and a row of cells for each decision of this store, the oldest first."""
    rows = []
    for one in history["decisions"]:
        change = f"{one['before'] or 'none'} -> {one['after'] or 'none'}"
        rows.append((one["when"][:19], one["action"], one["version"], change, one["who"], _outcome(one), one["why"]))
    return [("when (UTC)", "decision", "version", "champion", "who", "outcome", "why"), *rows]


def elsewhere_rows(history: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Make a heading and a row of cells for each decision that was not made in this store, or not on what it holds:
    by the model's hash, without the numbers that it had there."""
    rows = []
    for one in history["elsewhere"]:
        model, here = one["model_sha"][:8] or "unknown", " ".join(one["held_as"]) or "none"
        rows.append((one["when"][:19], one["action"], model, here, one["who"], _outcome(one), one["why"]))
    return [("when (UTC)", "decision", "model", "version here", "who", "outcome", "why"), *rows]


def _outcome(decision: Mapping[str, Any]) -> str:
    return "accepted" if decision["accepted"] else f"refused by {', '.join(decision['failed'])}"


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
    if found["elsewhere"]:
        print("\ndecided in another store, or on a version that was deleted here:")
        print("\n".join(aligned(elsewhere_rows(found))))
    return 0
