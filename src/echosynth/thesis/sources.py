"""What the thesis left open: a synthetic set that is balanced over view and source, so that a classifier cannot take
the release for the view."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import write_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier, compare
from echosynth.evaluation.scores import evaluate
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.store import encode
from echosynth.imagesets.tiles import contact_grid
from echosynth.thesis.cells import SCORES, Cell, Outcome, read_cells
from echosynth.thesis.images import shifted, subset, validation
from echosynth.thesis.material import Material, run_arms, trained
from echosynth.thesis.pairs import SHOWN, Mixture, by_name, count_pairs, sheet, source_names, take, unanswerable

QUESTION = "sources"
PICTURE = "pairs.png"  # beside its trainings: what the model draws for every pair
ARMS = (
    "real",
    "synthetic-as-real",
    "synthetic-seen-pairs",
    "synthetic-all-pairs",
    "mixed-as-real",
    "mixed-all-pairs",
)


def run(params: Params, size: str) -> None:
    """Train all arms on one subset, score them on the domain shift too, write reports/study/sources/<size>."""
    shift = [paths.SHIFT / source for source in params.data.shift_sources]
    run_arms(QUESTION, params, size, ARMS, make, train, [paths.more_pairs(size), *shift])
    real = subset(params.data.train_sources, size)
    names = source_names(real)
    counts = count_pairs(real, names)
    facts = {"real": by_name(counts, names), "within": judge(params, size)}
    folder = SCORES / QUESTION / size
    if unanswerable(counts, params.diffusion.source_conditioning) == "":
        tiles = contact_grid(sheet(size, names), len(VIEWS) * SHOWN)
        (folder / PICTURE).write_bytes(encode(tiles))
    write_json(folder / "metrics.json", facts)


def train(params: Params, cell: Cell) -> Outcome:
    """Train one cell."""
    return trained(QUESTION, params, cell, make(params, cell), params.data.shift_sources)


def make(params: Params, cell: Cell) -> Material:
    """Make what a cell is trained on.

    Raises:
        EchosynthError: there is no such set.
    """
    real = subset(params.data.train_sources, cell.subset)
    if cell.arm == "real":
        return Material(real)
    generator, _, mixture = cell.arm.partition("-")
    names = source_names(real)
    counts = count_pairs(real, names)
    if why := unanswerable(counts, params.diffusion.source_conditioning):
        raise EchosynthError(why)
    if mixture == "all-pairs" and counts.all():
        raise EchosynthError("the real images show every view in every source: seen-pairs is the same set")
    made, shares = take(cast(Mixture, mixture), counts, names, cell.subset)
    return Material(real.joined(made) if generator == "mixed" else made, facts={"pairs": by_name(shares, names)})


def judge(params: Params, size: str) -> dict[str, Any]:
    """Compare the arms of one subset where a classifier that takes the release for the view would show it.

    Returns:
        "validation (tmed2)" and the like for each source of the validation images that shows several views, "shift" for
        all images of the domain shift, and "shift (camus)" and the like -> what
        `echosynth.evaluation.comparison.compare` returns, its `best` left out, since nothing is chosen here.
    """
    sets = {"validation": validation(params.data.train_sources)}
    if params.data.shift_sources:
        sets["shift"] = shifted(params.data.shift_sources)
    found, settings = {}, params.classifier
    for name, data in sets.items():
        runs = read_cells(QUESTION, size, data, name)
        for words, kept in _parts(name, data):
            part = data.rows(kept)
            mine = [_on(run, part, run.probabilities[kept]) for run in runs]
            result = compare(mine, part.labels, part.groups, settings.bootstrap, settings.bootstrap_seed)
            del result["best"]
            found[words] = result | {"images": len(part.labels), "by_view": part.by_view()}
    return found


def _parts(name: str, data: LabelledImages) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Name the parts of a set that are judged, and say which images they hold: of the shift all, of every set each
    source that shows several views."""
    names = source_names(data)
    if name == "shift":
        yield name, np.ones(len(data.labels), bool)
    for source in names if len(names) > 1 else ():
        kept = data.sources == source
        if len(np.unique(data.labels[kept])) > 1:
            yield f"{name} ({source})", kept


def _on(run: ScoredClassifier, part: LabelledImages, probabilities: npt.NDArray[Any]) -> ScoredClassifier:
    """A classifier with its scores on some of the images."""
    return ScoredClassifier(run.facts, evaluate(probabilities, part.labels, part.groups, part.sources), probabilities)
