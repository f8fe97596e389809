"""`echosynth history`: versions, and the decisions on them."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from echosynth.cli.sources import aligned


def version_rows(history: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A line a version, the newest first."""
    names = list(dict.fromkeys(name for version in history["versions"] for name in version["scores"]))
    heading = ("version", "aliases", "registered", *(name.removeprefix("test.") for name in names))
    rows = []
    for version in history["versions"]:
        scores = [f"{version['scores'][name]:.3f}" if name in version["scores"] else "" for name in names]
        rows.append((version["version"], " ".join(version["aliases"]), version["created"][:16], *scores))
    return [heading, *rows]


def decision_rows(history: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A line a decision, the oldest first."""
    rows = []
    for one in history["decisions"]:
        outcome = "accepted" if one["accepted"] else f"refused by {', '.join(one['failed'])}"
        change = f"{one['before'] or 'none'} -> {one['after'] or 'none'}"
        rows.append((one["when"][:19], one["action"], one["version"], change, one["who"], outcome, one["why"]))
    return [("when (UTC)", "decision", "version", "champion", "who", "outcome", "why"), *rows]


def run(arguments: argparse.Namespace) -> int:
    """Print all versions and all decisions."""
    from echosynth.registry.decisions import history  # MLflow takes seconds to import

    found = history()
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    print("\n".join(aligned(version_rows(found))) if found["versions"] else "no version is registered")
    print()
    print("\n".join(aligned(decision_rows(found))) if found["decisions"] else "nothing was decided yet")
    return 0
