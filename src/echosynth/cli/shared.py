"""What several commands share: options, and how they print."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

DISCLAIMER = "Research software, no medical device."
FILE = click.Path(path_type=Path)  # of an option or argument: a file or folder, there or not

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON for machines instead of text.")
model_option = click.option(
    "--model",
    default="champion",
    help="Alias or version in the registry, or a folder with model.safetensors and card.json.",
)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Turn rows of cells into lines with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def print_json(content: Any) -> None:
    """Print plain values as JSON that people can read too."""
    print(json.dumps(content, indent=2, ensure_ascii=False))
