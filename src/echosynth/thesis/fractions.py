"""Figure 5.17: real images with more and more synthetic ones, and real images of the same number beside them."""

import numpy as np
import pandas as pd

from echosynth.classifier.arms import with_percent
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.splits.split import nested_subsets
from echosynth.thesis.cells import Cell, Outcome
from echosynth.thesis.images import subset, synthetic, training
from echosynth.thesis.material import Material, run_arms, trained

QUESTION = "fractions"
PLUS = "plus-"  # before the per cent of synthetic images
TWICE = "twice-real"  # as many real images more instead


def arms(params: Params) -> list[str]:
    """Name the arms: no synthetic images, each of `study.fractions`, and twice as many real ones."""
    return [*(f"{PLUS}{round(100 * fraction)}" for fraction in (0.0, *params.study.fractions)), TWICE]


def run(params: Params, size: str) -> None:
    """Train with every fraction on one subset, write reports/study/fractions/<size>."""
    run_arms(QUESTION, params, size, arms(params), make, train)


def train(params: Params, cell: Cell) -> Outcome:
    """Train one cell."""
    return trained(QUESTION, params, cell, make(params, cell))


def make(params: Params, cell: Cell) -> Material:
    """Make what a cell is trained on.

    Raises:
        EchosynthError: there are too few synthetic, or too few other real images for it.
    """
    real = subset(params.data.train_sources, cell.subset)
    if cell.arm == TWICE:
        return Material(twice(real, training(params.data.train_sources), params.split.seed))
    percent = int(cell.arm.removeprefix(PLUS))
    data = with_percent(real, synthetic(cell.subset), percent, params.arms.worth(cell.subset))
    return Material(data, facts={"fraction": percent / 100})


def twice(real: LabelledImages, every: LabelledImages, seed: int) -> LabelledImages:
    """Take twice as many real images: those of the subset and as many more, which the nested subset of that size holds
    whether it is one of `split.subsets` or not.

    Args:
        real: a training subset.
        every: the whole training set.
        seed: `split.seed`, that the subsets were drawn with.

    Raises:
        EchosynthError: there are not so many.
    """
    wanted = 2 * len(real.labels)
    if wanted > len(every.labels):
        raise EchosynthError(f"the training set holds {len(every.labels)} images, fewer than twice {len(real.labels)}")
    table = pd.DataFrame({"id": every.ids, "source": every.sources, "view": np.array(VIEWS)[every.labels]})
    return every.rows(np.isin(every.ids, nested_subsets(table, [wanted], seed)[str(wanted)]))
