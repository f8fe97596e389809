"""`echosynth sample`: a synthetic set from a stored model."""

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echosynth.cli.options import DISCLAIMER
from echosynth.common.errors import EchosynthError
from echosynth.common.files import check_replaceable

if TYPE_CHECKING:
    from echosynth.diffusion.options import SampleParams

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


def _settings(arguments: argparse.Namespace) -> "SampleParams":
    """The options as section `sample` of the parameters, which knows what is allowed."""
    from pydantic import ValidationError

    from echosynth.diffusion.options import SampleParams

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


@_own_words()
def run(arguments: argparse.Namespace) -> int:
    """Write an image set and its contact sheet."""
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
