"""The command line: `echosynth COMMAND ...`. Each command is a module here, imported when it is asked for, so that
--help answers at once."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path

from echosynth import __version__
from echosynth.errors import EchosynthError

DISCLAIMER = "Research software, no medical device."
FRAMES = 32


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="echosynth", description=f"Synthetic echocardiograms for view classification. {DISCLAIMER}"
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    machines = argparse.ArgumentParser(add_help=False)
    machines.add_argument("--json", action="store_true", help="write JSON for machines instead of text")

    sources = commands.add_parser(
        "sources",
        parents=[machines],
        help="list the releases that can be read",
        description="List the releases that can be read; with NAME, show what one is expected to look like.",
    )
    sources.add_argument("name", nargs="?", metavar="NAME", help="show this one with its layout and citation")

    check = commands.add_parser(
        "check",
        parents=[machines],
        help="see what is in a folder before it is read",
        description="Look through a release folder without decoding a picture: what is there, what would be left out "
        "and why, what is missing. The exit status is 1 when `dvc repro` would stop at it.",
    )
    check.add_argument("source", metavar="SOURCE", help="name of the release, see `echosynth sources`")
    check.add_argument("folder", type=Path, metavar="FOLDER", help="where it was unpacked")

    review = commands.add_parser(
        "review",
        help="decide which groups of recordings are kept",
        description="Add new groups of the video validation to data/review/SOURCE.yaml, for you to decide on.",
    )
    review.add_argument("source", metavar="SOURCE", help="name of the release, see `echosynth sources`")
    review.add_argument("--accept", action="store_true", help="take the computed proposal for every undecided group")

    predict = commands.add_parser(
        "predict",
        parents=[machines],
        help="name the view of cines and stills",
        description="Name the view of each file (DICOM, AVI, MP4, PNG, JPEG, MetaImage, NIfTI): "
        "its probabilities are averaged over the frames. The exit status is 1 when a file cannot be read.",
    )
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE")
    predict.add_argument(
        "--model",
        default="challenger",
        help="alias or version in the registry, or a folder with model.safetensors and card.json (default: challenger)",
    )
    predict.add_argument(
        "--max-frames",
        type=int,
        default=FRAMES,
        metavar="N",
        help=f"average at most N evenly spaced frames of a cine (default: {FRAMES})",
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command `echosynth`: takes the words after it, returns the exit status."""
    parsed = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text at all
    try:
        status: int = import_module(f"echosynth.cli.{parsed.command}").run(parsed)
        sys.stdout.flush()
    except EchosynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
