"""`echosynth sample`: a synthetic set from a stored model."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import click
from pydantic import ValidationError

from echosynth.cli.shared import DISCLAIMER, FILE
from echosynth.common.errors import EchosynthError
from echosynth.common.files import check_replaceable
from echosynth.common.options import Precision
from echosynth.diffusion.options import SampleParams, Solver

VIEW_SHARES = get_args(SampleParams.model_fields["views"].annotation)
PER_VIEW = 25
OURS = {"images.zip", "manifest.csv", "metrics.json", "samples.png"}


def _counts(text: str) -> dict[str, int]:
    """A2C=5,PSAX=3 as a mapping.

    Raises:
        EchosynthError: it is none.
    """
    counts: dict[str, int] = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", part)
        if not found or found[1].upper() in counts:
            raise EchosynthError(f"--counts {text!r} is not understood; write it as A2C=5,PSAX=3, each view once")
        counts[found[1].upper()] = int(found[2])
    return counts


def _settings(arguments: SimpleNamespace) -> SampleParams:
    """The options as section `sample` of the parameters, which knows what is allowed."""
    values: dict[str, Any] = {
        "seed": arguments.seed,
        "per_view": arguments.per_view if arguments.per_view is not None else PER_VIEW,
        "views": arguments.views or "balanced",
        "sources": arguments.source,
        "solver": arguments.solver,
        "evaluations": arguments.evaluations,
        "eta": 0.0,
        "guidance": arguments.guidance,
        "guidance_interval": [0.0, 1.0],
        "autoguidance": 0.0,
        "batch_size": arguments.batch_size,
    }
    try:
        return SampleParams.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":
            raise EchosynthError(f"--source: {first['ctx']['error']}") from None
        option = str(first["loc"][0]).replace("_", "-")
        raise EchosynthError(f"--{option} is {first['input']}: {first['msg'].lower()}") from None


@contextmanager
def _own_words() -> Iterator[None]:
    """Name options instead of parameters in what is refused: --batch-size for sample.batch_size."""
    try:
        yield
    except EchosynthError as error:
        text = str(error).replace("sample.sources", "--source")
        text = re.sub(r"\bsample\.(\w+)", lambda found: "--" + found[1].replace("_", "-"), text)
        raise EchosynthError(text) from error


@click.command()
@click.argument("model", type=FILE, metavar="MODEL_FOLDER")
@click.option("--out", type=FILE, required=True, metavar="FOLDER", help="A new folder, or one of this command.")
@click.option("--count", type=int, metavar="N", help="Images in all.")
@click.option("--per-view", type=int, metavar="N", help="A quarter of all images; 25 if nothing is said.")
@click.option("--counts", metavar="A2C=5,PSAX=3", help="Images of each view.")
@click.option("--views", type=click.Choice(VIEW_SHARES), help="Proportions of the views; balanced if left out.")
@click.option("--source", default="real", metavar="NAME", help="Look of one source, or real, balanced or none.")
@click.option("--solver", type=click.Choice(get_args(Solver)), default="unipc", help="Way from noise to image.")
@click.option("--evaluations", type=int, default=16, metavar="N", help="Calls of the network for each image.")
@click.option("--guidance", type=float, default=1.0, metavar="W", help="Weight of classifier-free guidance; 1 is none.")
@click.option("--seed", type=int, default=0, help="Of the noise.")
@click.option("--batch-size", type=int, default=100, metavar="N", help="Images at a time on a GPU.")
@click.option("--precision", type=click.Choice(get_args(Precision)), default="auto", help="Type of the numbers.")
@_own_words()
def run(**options: Any) -> int:
    """Write a set of synthetic images (images.zip and manifest.csv) with a contact sheet, samples.png.

    MODEL_FOLDER is a trained model, such as models/diffusion/all. Image n depends on the model, the seed, the options
    and n alone. A killed run goes on when called again.
    """
    arguments = SimpleNamespace(**options)
    if sum(value is not None for value in (arguments.count, arguments.per_view, arguments.counts)) > 1:
        raise click.UsageError("give one of --count, --per-view and --counts")
    settings = _settings(arguments)
    if arguments.counts is not None and arguments.views is not None:
        raise EchosynthError("--counts says how many of each view; leave --views out")
    if arguments.count is not None and arguments.count < 1:
        raise EchosynthError(f"--count is {arguments.count}; give 1 or more")
    count: int | dict[str, int] = _counts(arguments.counts) if arguments.counts is not None else 0
    check_replaceable(arguments.out, OURS)

    # PyTorch: not before the options are known to be right.
    from echosynth.common.files import atomic_file
    from echosynth.common.views import VIEWS
    from echosynth.diffusion.generate import Job, Team, generate
    from echosynth.diffusion.model import read_card
    from echosynth.diffusion.plan import make_plan
    from echosynth.diffusion.sample import Sampling
    from echosynth.imagesets.preview import first_images

    model: Path = arguments.model
    if not (model / "card.json").is_file():
        raise EchosynthError(f"{model} holds no model; name a folder with card.json, such as models/diffusion/all")
    count = count or (arguments.count if arguments.count is not None else settings.per_view * len(VIEWS))
    plan = make_plan(read_card(model), count, settings.views, settings.sources)
    job = Job(model, plan, settings.seed, Sampling.of(settings), arguments.precision, settings.batch_size)
    name = "synthetic-" + (re.sub(r"[^A-Za-z0-9_-]+", "-", model.resolve().name) or "model")
    team = Team.joined()
    speed = generate(job, arguments.out, name, team=team)
    if team.main:
        with atomic_file(arguments.out / "samples.png") as part:
            part.write_bytes(first_images(arguments.out / "images.zip"))
        numbers = ", ".join(f"{sum(row.values())} {view}" for view, row in plan.counts().items())
        print(f"{arguments.out}: {len(plan)} images ({numbers}), {speed:.1f} images/s")
        sys.stdout.flush()
        print(DISCLAIMER, file=sys.stderr)
    return 0
