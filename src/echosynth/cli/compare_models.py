"""`echosynth compare-models`: two versions on the same real test images."""

from collections.abc import Mapping
from typing import Any

import click

from echosynth.cli.shared import aligned, json_option, print_json


def lines(found: Mapping[str, Any]) -> list[str]:
    """Write the comparison for people, a line for each score."""
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


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
def run(first: str, second: str, as_json: bool) -> int:
    """Compare two versions, A and B (each an alias or a version), on the same real test images.

    Prints the scores of both and their difference by a paired bootstrap over patients.
    """
    from echosynth.config.parameters import load_params  # MLflow and PyTorch take seconds to import
    from echosynth.registry.scoring import compare_models

    found = compare_models(first, second, load_params())
    if as_json:
        print_json(found)
    else:
        print("\n".join(lines(found)))
    return 0
