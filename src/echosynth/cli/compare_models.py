"""`echosynth compare-models`: two versions on the same real test images."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from echosynth.cli.sources import aligned


def lines(found: Mapping[str, Any]) -> list[str]:
    """The comparison for people."""
    first, second = (f"version {version}" for version in found["versions"])
    rows = [("score", first, second, "difference", "95 % interval")]
    for name, (one, two) in found["scores"].items():
        short = name.removeprefix("test.")
        difference = found["differences"].get(short)
        low, high = difference["interval"] if difference else (None, None)
        interval = f"{low:+.3f} to {high:+.3f}" if low is not None and high is not None else ""
        rows.append((short, f"{one:.3f}", f"{two:.3f}", f"{one - two:+.3f}", interval))
    size = f"{found['images']:,} real test images of {found['patients']:,} patients; paired bootstrap over patients"
    return [*aligned(rows), size, *(f"note: {note}" for note in found["notes"])]


def run(arguments: argparse.Namespace) -> int:
    """Print scores side by side with their difference."""
    from echosynth.config.parameters import load_params  # MLflow and PyTorch take seconds to import
    from echosynth.registry.scoring import compare_models

    found = compare_models(arguments.first, arguments.second, load_params())
    print(json.dumps(found, indent=2, ensure_ascii=False) if arguments.json else "\n".join(lines(found)))
    return 0
