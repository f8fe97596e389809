"""`echosynth sample`: a synthetic set from a stored model, as params.yaml says unless an option says otherwise."""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from echosynth.cli.options import DISCLAIMER
from echosynth.common.errors import EchosynthError
from echosynth.common.files import check_replaceable
from echosynth.common.yaml12 import read_yaml
from echosynth.diffusion.options import SampleParams, SolverParams

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


@own_words()
def run(arguments: argparse.Namespace) -> int:
    """Write an image set and its contact sheet."""
    words = vars(arguments)
    given = {parameter: words[option.strip("-").replace("-", "_")] for option, parameter in PARAMETERS.items()}
    options = chosen({parameter: value for parameter, value in given.items() if value is not None})
    if arguments.counts is not None and arguments.views is not None:
        raise EchosynthError("--counts says how many of each view; leave --views out")
    if arguments.count is not None and arguments.count < 1:
        raise EchosynthError(f"--count is {arguments.count}; give 1 or more")
    count = view_counts(arguments.counts) if arguments.counts is not None else arguments.count
    write_set(arguments.model, arguments.out, options, count, arguments.precision)
    return 0


def write_set(
    model: Path, out: Path, options: SampleParams, count: int | dict[str, int] | None, precision: Any
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
