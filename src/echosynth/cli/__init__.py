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
SOLVERS = ("ancestral", "ddim", "dpm++", "unipc", "heun")  # as in echosynth.config, which takes long to import
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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

    preset = commands.add_parser(
        "preset",
        help="set params.yaml up for another scale",
        description="Write the values of params/NAME.yaml into params.yaml, whose comments stay. `dvc params diff` "
        "shows the same changes.",
    )
    preset.add_argument("name", nargs="?", metavar="NAME", help="which one; without it all are listed")

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

    sample = commands.add_parser(
        "sample",
        help="make synthetic images with a trained model",
        description="Write a set of synthetic images (images.zip and manifest.csv) with a contact sheet, samples.png. "
        "Image n depends on the model, the seed, the options and n alone. A killed run goes on when called again.",
    )
    sample.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="such as models/diffusion/all")
    sample.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="a new folder, or one of this command"
    )
    number = sample.add_mutually_exclusive_group()
    number.add_argument("--count", type=int, metavar="N", help="images in all")
    number.add_argument("--per-view", type=int, metavar="N", help="a quarter of all images (default: 25)")
    number.add_argument("--counts", metavar="A2C=5,PSAX=3", help="images of each view")
    sample.add_argument("--views", choices=("balanced", "real"), help="proportions of the views (default: balanced)")
    sample.add_argument(
        "--source",
        default="real",
        metavar="NAME",
        help="look of one source, or real (as in the training images), balanced or none (default: real)",
    )
    sample.add_argument("--solver", choices=SOLVERS, default="unipc", help="(default: unipc)")
    sample.add_argument("--evaluations", type=int, default=16, metavar="N", help="of the network (default: 16)")
    sample.add_argument("--guidance", type=float, default=1.0, metavar="W", help="1 is none (default: 1)")
    sample.add_argument("--seed", type=int, default=0, help="(default: 0)")
    sample.add_argument("--batch-size", type=int, default=100, metavar="N", help="at a time on a GPU (default: 100)")
    sample.add_argument("--precision", choices=PRECISIONS, default="auto", help="(default: auto)")
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
