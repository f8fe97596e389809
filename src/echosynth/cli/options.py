"""The words of the command line. Nothing heavy is imported here."""

import argparse
from pathlib import Path
from typing import TypeAlias, get_args

from echosynth import __version__
from echosynth.common.options import Precision
from echosynth.diffusion.options import Solver, ViewShares

DISCLAIMER = "Research software, no medical device."
FRAMES = 32
MODEL = "alias or version in the registry, or a folder with model.safetensors and card.json (default: champion)"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="echosynth", description=f"Synthetic echocardiograms for view classification. {DISCLAIMER}"
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    machines = argparse.ArgumentParser(add_help=False)
    machines.add_argument("--json", action="store_true", help="write JSON for machines instead of text")
    _data(commands, machines)
    _models(commands, machines)
    _experiments(commands, machines)
    _registry(commands, machines)
    return top


def _data(commands: Commands, machines: argparse.ArgumentParser) -> None:
    """Releases, and what is kept of them."""
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


def _models(commands: Commands, machines: argparse.ArgumentParser) -> None:
    """Using trained models."""
    predict = commands.add_parser(
        "predict",
        parents=[machines],
        help="name the view of cines and stills",
        description="Name the view of each file (DICOM, AVI, MP4, PNG, JPEG, MetaImage, NIfTI): "
        "its probabilities are averaged over the frames. The exit status is 1 when a file cannot be read.",
    )
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file, or a folder with all below it")
    predict.add_argument("--model", default="champion", help=MODEL)
    predict.add_argument(
        "--max-frames",
        type=int,
        default=FRAMES,
        metavar="N",
        help=f"average at most N evenly spaced frames of a cine (default: {FRAMES})",
    )
    predict.add_argument(
        "--out", type=Path, metavar="TABLE.csv", help="write a table; a killed run goes on when called again"
    )

    export = commands.add_parser(
        "export",
        help="write a classifier as ONNX",
        description="Write a classifier as an ONNX file (prepared images in, probabilities out) with its card, and "
        "check that onnxruntime predicts the same.",
    )
    export.add_argument("out", type=Path, metavar="FOLDER", help="a new folder for model.onnx and card.json")
    export.add_argument("--model", default="champion", help=MODEL)

    sample = commands.add_parser(
        "sample",
        help="make synthetic images with a trained model",
        description="Write a set of synthetic images (images.zip and manifest.csv) with a contact sheet, samples.png. "
        "Image n depends on the model, the seed, the options and n alone; what is not said is as section `sample` of "
        "params.yaml says. A killed run goes on when called again.",
    )
    sample.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="such as models/diffusion/all")
    sample.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="a new folder, or one of this command"
    )
    number = sample.add_mutually_exclusive_group()
    number.add_argument("--count", type=int, metavar="N", help="images in all")
    number.add_argument("--per-view", type=int, metavar="N", help="a quarter of all images")
    number.add_argument("--counts", metavar="A2C=5,PSAX=3", help="images of each view")
    sample.add_argument("--views", choices=get_args(ViewShares), help="proportions of the views")
    sample.add_argument(
        "--source", metavar="NAME", help="look of one source, or real (as in the training images), balanced or none"
    )
    sample.add_argument("--solver", choices=get_args(Solver), help="from noise to images")
    sample.add_argument("--evaluations", type=int, metavar="N", help="of the network for an image")
    sample.add_argument("--guidance", type=float, metavar="W", help="1 is none")
    sample.add_argument("--seed", type=int, help="of the noise")
    sample.add_argument("--batch-size", type=int, metavar="N", help="at a time on a GPU")
    sample.add_argument("--precision", choices=get_args(Precision), default="auto", help="(default: auto)")


def _experiments(commands: Commands, machines: argparse.ArgumentParser) -> None:
    """Parameters, experiments and their rows."""
    preset = commands.add_parser(
        "preset",
        help="set params.yaml up for another scale",
        description="Write the values of params/NAME.yaml into params.yaml, whose comments stay. `dvc params diff` "
        "shows the same changes.",
    )
    preset.add_argument("name", nargs="?", metavar="NAME", help="which one; without it all are listed")

    sweep = commands.add_parser(
        "sweep",
        help="run a grid of experiments",
        description="Queue every combination of a grid (a YAML file: parameter -> list of values) as a DVC experiment, "
        "run the queue, try what failed once more, and rank all by a score. Called again it goes on where it was.",
    )
    sweep.add_argument("grid", type=Path, metavar="GRID.yaml", help="see docs/experiments.md")
    sweep.add_argument("--workers", type=int, default=1, metavar="N", help="experiments at a time (default: 1)")
    sweep.add_argument("--dry-run", action="store_true", help="show the experiments and run none")

    search = commands.add_parser(
        "search",
        help="search parameters with Optuna",
        description="Let Optuna choose the parameters of one DVC experiment after another, a row each. Called again it "
        "goes on. Needs requirements-extra.txt.",
    )
    search.add_argument("space", type=Path, metavar="SPACE.yaml", help="see docs/experiments.md")
    search.add_argument("--trials", type=int, required=True, metavar="N", help="in all, earlier calls included")

    commands.add_parser(
        "sync",
        parents=[machines],
        help="rebuild MLflow's rows from git and DVC",
        description="Add to MLflow what git and DVC know and it does not: every commit and experiment with scores. "
        "Sends runs that were kept while no tracking server answered, and closes runs whose process is gone.",
    )

    compare = commands.add_parser(
        "compare",
        help="write what changed against a revision",
        description="Write a Markdown page of the parameters, scores and pictures of the working tree (or of --to) "
        "beside those of another revision or experiment, from DVC alone.",
    )
    compare.add_argument("revision", metavar="REV", help="commit, branch, tag or experiment to compare against")
    compare.add_argument("--to", metavar="REV", help="instead of the working tree")
    compare.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write report.md and its pictures there (default: text on stdout)"
    )


def _registry(commands: Commands, machines: argparse.ArgumentParser) -> None:
    """Which classifier is in use."""
    commands.add_parser(
        "register",
        help="put the final classifier into the registry",
        description="Register models/final as a new version; no alias moves. The same weights and card are registered "
        "once.",
    )

    promote = commands.add_parser(
        "promote",
        parents=[machines],
        help="make a version the champion, if it passes the gates",
        description="Check a version on the real test images, against the gates of params.yaml and the champion, print "
        "the table, and make it the champion. The exit status is 1 when a gate refuses it.",
    )
    promote.add_argument("version", nargs="?", metavar="VERSION", help="which one (default: the newest)")
    promote.add_argument("--reason", default="", metavar="TEXT", help="why, for the record; must be given to promote")
    promote.add_argument("--dry-run", action="store_true", help="check the gates and change nothing")
    promote.add_argument(
        "--unlock", action="store_true", help="only remove what a promotion or rollback left that was killed"
    )

    rollback = commands.add_parser(
        "rollback",
        help="make the previous champion the champion again",
        description="Exchange champion and previous; the decision is written down like a promotion.",
    )
    rollback.add_argument("--reason", required=True, metavar="TEXT", help="why, for the record")

    commands.add_parser("history", parents=[machines], help="list versions and the decisions on them")

    rivals = commands.add_parser(
        "compare-models",
        parents=[machines],
        help="compare two versions on the real test images",
        description="Scores of two versions on the same real test images, and their difference by a paired bootstrap "
        "over patients.",
    )
    rivals.add_argument("first", metavar="A", help="alias or version")
    rivals.add_argument("second", metavar="B", help="alias or version")
