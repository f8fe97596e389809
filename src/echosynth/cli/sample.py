"""`echosynth sample`: a synthetic set from a stored model, as params.yaml says unless an option says otherwise."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import ValidationError

from echosynth.cli.shared import DISCLAIMER, FILE
from echosynth.common.errors import EchosynthError
from echosynth.common.files import check_replaceable
from echosynth.common.options import Precision
from echosynth.common.yaml12 import read_yaml
from echosynth.diffusion.options import SampleParams, Solver, SolverParams, ViewShares

OURS = {"images.zip", "manifest.csv", "metrics.json", "samples.png"}
PARAMS = Path("params.yaml")
# Option -> its parameter in section `sample`; the other parameters have no option.
PARAMETERS = {
    "--per-view": "per_view",
    "--views": "views",
    "--source": "sources",
    "--solver": "solver",
    "--evaluations": "evaluations",
    "--guidance": "guidance",
    "--seed": "seed",
    "--batch-size": "batch_size",
}
# Where there is no params.yaml: 25 images of each view by the quick solver.
ELSEWHERE = SolverParams.plain("unipc", 16).model_dump() | {
    "seed": 0,
    "per_view": 25,
    "views": "balanced",
    "sources": "real",
    "batch_size": 100,
}


def view_counts(text: str) -> dict[str, int]:
    """Read A2C=5,PSAX=3 as a mapping.

    Raises:
        EchosynthError: it is none.
    """
    counts: dict[str, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", part)
        if not match or match[1].upper() in counts:
            raise EchosynthError(f"--counts {text!r} is not understood; write it as A2C=5,PSAX=3, each view once")
        counts[match[1].upper()] = int(match[2])
    return counts


def defaults() -> dict[str, Any]:
    """Read section `sample` of the params.yaml in the working directory; where there is none, take `ELSEWHERE`.

    Raises:
        EchosynthError: params.yaml is no YAML.
    """
    tree = read_yaml(PARAMS) if PARAMS.is_file() else {}
    section = tree.get("sample") if isinstance(tree, Mapping) else None
    return dict(section) if isinstance(section, Mapping) else ELSEWHERE


def chosen(given: Mapping[str, Any]) -> SampleParams:
    """Complete the options that were given (parameter of section `sample` -> value) by the defaults.

    Raises:
        EchosynthError: naming what is out of range or does not fit together.
    """
    try:
        return SampleParams.model_validate({**defaults(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":  # a rule over several parameters, which it names
            raise EchosynthError(str(first["ctx"]["error"])) from None
        key = str(first["loc"][0])
        if first["type"] == "missing":
            raise EchosynthError(f"{PARAMS}: sample.{key} is missing") from None
        where = "" if key in given else f"{PARAMS}: "
        raise EchosynthError(f"{where}sample.{key} is {first['input']}: {first['msg'].lower()}") from None


@contextmanager
def own_words() -> Iterator[None]:
    """Name options instead of their parameters in what is refused: --batch-size for sample.batch_size."""
    try:
        yield
    except EchosynthError as error:
        text = str(error)
        for option, parameter in PARAMETERS.items():
            text = re.sub(rf"(?<!params\.yaml: )\bsample\.{parameter}\b", option, text)
        raise EchosynthError(text) from error


@click.command()
@click.argument("model", type=FILE, metavar="MODEL_FOLDER")
@click.option("--out", type=FILE, required=True, metavar="FOLDER", help="A new folder, or one of this command.")
@click.option("--count", type=int, metavar="N", help="Images in all.")
@click.option("--per-view", type=int, metavar="N", help="A quarter of all images.")
@click.option("--counts", metavar="A2C=5,PSAX=3", help="Images of each view.")
@click.option("--views", type=click.Choice(get_args(ViewShares)), help="Proportions of the views.")
@click.option("--source", metavar="NAME", help="Look of one source, or real (as in training), balanced or none.")
@click.option("--solver", type=click.Choice(get_args(Solver)), help="Way from noise to image.")
@click.option("--evaluations", type=int, metavar="N", help="Calls of the network for each image.")
@click.option("--guidance", type=float, metavar="W", help="Weight of classifier-free guidance; 1 is none.")
@click.option("--seed", type=int, help="Of the noise.")
@click.option("--batch-size", type=int, metavar="N", help="Images at a time on a GPU.")
@click.option("--precision", type=click.Choice(get_args(Precision)), default="auto", help="Type of the numbers.")
@own_words()
def run(model: Path, out: Path, count: int | None, counts: str | None, precision: Precision, **options: Any) -> int:
    """Write a set of synthetic images (images.zip and manifest.csv) with a contact sheet, samples.png.

    MODEL_FOLDER is a trained model, such as models/diffusion/all. Image n depends on the model, the seed, the options
    and n alone; what is not said is as section `sample` of params.yaml says. A killed run goes on when called again.
    """
    if sum(value is not None for value in (count, options["per_view"], counts)) > 1:
        raise click.UsageError("give one of --count, --per-view and --counts")
    given = {parameter: options[option.strip("-").replace("-", "_")] for option, parameter in PARAMETERS.items()}
    settings = chosen({parameter: value for parameter, value in given.items() if value is not None})
    if counts is not None and options["views"] is not None:
        raise EchosynthError("--counts says how many of each view; leave --views out")
    if count is not None and count < 1:
        raise EchosynthError(f"--count is {count}; give 1 or more")
    write_set(model, out, settings, view_counts(counts) if counts is not None else count, precision)
    return 0


def write_set(
    model: Path, out: Path, options: SampleParams, count: int | dict[str, int] | None, precision: Precision
) -> None:
    """Sample a set into a folder, with its contact sheet, and say what is in it.

    Args:
        model: folder of a trained model.
        out: a new folder, or one of this command.
        options: what is shown, solver and guidance.
        count: images in all, or of each view; None: `options.per_view` of each.
        precision: see `echosynth.compute.device.resolved`.

    Raises:
        EchosynthError: a folder is not what it should be, or the model cannot make such a set.
    """
    check_replaceable(out, OURS)
    if not (model / "card.json").is_file():
        raise EchosynthError(f"{model} holds no model; name a folder with card.json, such as models/diffusion/all")

    # PyTorch: not before the options are known to be right.
    from echosynth.common.files import atomic_file
    from echosynth.diffusion.model import read_card
    from echosynth.diffusion.set_plan import make_plan
    from echosynth.diffusion.synthetic_set import SyntheticSet, Team, make_set
    from echosynth.imagesets.preview import first_images

    plan, team = make_plan(read_card(model), options, count), Team.joined()
    name = "synthetic-" + (re.sub(r"[^A-Za-z0-9_-]+", "-", model.resolve().name) or "model")
    speed = make_set(SyntheticSet(model, plan, options, precision), out, name, team=team)
    if team.main:
        with atomic_file(out / "samples.png") as part:
            part.write_bytes(first_images(out / "images.zip"))
        numbers = ", ".join(f"{sum(row.values())} {view}" for view, row in plan.counts().items())
        print(f"{out}: {len(plan)} images ({numbers}), {speed:.1f} images/s")
        sys.stdout.flush()
        print(DISCLAIMER, file=sys.stderr)
