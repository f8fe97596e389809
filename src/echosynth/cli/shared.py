"""What several commands share: options, and how they print."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml

if TYPE_CHECKING:
    from echosynth.media.options import DecodingParams

DISCLAIMER = "Research software, no medical device."
PARAMS = Path("params.yaml")
FILE = click.Path(path_type=Path)  # of an option or argument: a file or folder, there or not

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON for machines instead of text.")
model_option = click.option(
    "--model",
    default="champion",
    help="Alias or version in the registry, or a folder with model.safetensors and card.json.",
)


def decoding_limits() -> "DecodingParams":
    """Read section `decoding` of the params.yaml in the working directory; where there is none, take the defaults.

    Raises:
        EchosynthError: params.yaml is no YAML, or the section is wrong.
    """
    from pydantic import ValidationError

    from echosynth.media.options import LIMITS, DecodingParams

    tree = read_yaml(PARAMS) if PARAMS.is_file() else {}
    if not isinstance(tree, Mapping) or "decoding" not in tree:
        return LIMITS
    try:
        return DecodingParams.model_validate(tree["decoding"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, ("decoding", *first["loc"])))
        raise EchosynthError(f"{PARAMS}: {key} = {first['input']!r} is not allowed: {first['msg'].lower()}") from None


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Turn rows of cells into lines with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def print_json(content: Any) -> None:
    """Print plain values as JSON that people can read too."""
    print(json.dumps(content, indent=2, ensure_ascii=False))
