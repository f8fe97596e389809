"""Pairs of view and source: synthetic sets of one size, balanced over views, that differ in their sources alone, and
the images that they need beside the synthetic set."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from echosynth.common import paths
from echosynth.common.arrays import Images
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.diffusion.model import read_card
from echosynth.diffusion.set_plan import SetPlan, apportion, interleave
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.rebalance import balanced
from echosynth.thesis.images import more_pairs, subset, synthetic

Counts = npt.NDArray[np.int64]  # (views, sources), images
# Sources within a view: in the proportions of the real images; evenly over those in which the real images show it; or
# evenly over all, also those in which no real image shows it.
Mixture = Literal["as-real", "seen-pairs", "all-pairs"]
SHOWN = 4  # images of each pair in a picture of them
MADE = "synthetic-"  # before the source of a synthetic image


def source_names(data: LabelledImages) -> list[str]:
    """Name the sources of real images, in alphabetical order: that of a diffusion model that was trained on them."""
    return sorted(set(map(str, data.sources)))


def count_pairs(data: LabelledImages, sources: Sequence[str]) -> Counts:
    """Count images by view and source.

    Args:
        data: images.
        sources: by their names there.
    """
    views = range(len(VIEWS))
    return np.array(
        [[int(((data.labels == view) & (data.sources == name)).sum()) for name in sources] for view in views]
    )


def by_name(counts: Counts, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Give counts as view -> source -> images."""
    return {view: dict(zip(names, map(int, row), strict=True)) for view, row in zip(VIEWS, counts, strict=True)}


def unanswerable(real: Counts, told: bool) -> str:
    """Say why there are no sets that differ in their sources alone; empty where there are.

    Args:
        real: training images.
        told: whether the diffusion model is told the source.
    """
    if not told:
        return "the diffusion model is not told the source (diffusion.source_conditioning), so none can be asked for"
    if real.shape[1] < 2:
        return "the real images are of one source alone (data.train_sources), so there is nothing to balance"
    return ""


def shares(mixture: Mixture, real: Counts, number: int) -> Counts:
    """Share images out evenly over the views and, within a view, over the sources.

    Args:
        mixture: of the sources.
        real: training images, at least one of each view.
        number: images in all.
    """
    weights = {"as-real": real, "seen-pairs": np.minimum(real, 1), "all-pairs": np.ones_like(real)}[mixture]
    of_view = zip(balanced(number), weights.tolist(), strict=True)
    return np.array([apportion(wanted, row) for wanted, row in of_view])


def lacking(real: Counts, made: Counts, number: int) -> Counts:
    """Count the images that `made` lacks for the largest share of each pair among all mixtures.

    Args:
        real: training images.
        made: synthetic ones that are there.
        number: images of each mixture.
    """
    most = np.max([shares(mixture, real, number) for mixture in get_args(Mixture)], axis=0)
    return np.maximum(most - made, 0)


def plan_more(params: Params, size: str) -> tuple[SetPlan | None, dict[str, Any]]:
    """Plan what has to be sampled beside the synthetic set of one subset.

    Returns:
        The plan, None where nothing has to be; and facts of it, `images` and, without a plan, `why`.
    """
    real, made = subset(params.data.train_sources, size), synthetic(size)
    names = source_names(real)
    counts = count_pairs(real, names)
    if why := unanswerable(counts, bool(read_card(paths.DIFFUSION / size).sources)):
        return None, {"images": 0, "why": why}
    wanted = lacking(counts, count_pairs(made, [MADE + name for name in names]), len(made.labels))
    if not wanted.any():
        return None, {"images": 0, "why": "the synthetic set holds enough of every pair"}
    order = interleave(wanted.ravel().tolist())
    plan = SetPlan(order // len(names), order % len(names), tuple(names))
    return plan, plan.facts()


def sampled(size: str) -> LabelledImages:
    """The synthetic set of one subset, then what was sampled beside it."""
    made, more = synthetic(size), more_pairs(size)
    return made.joined(more) if more else made


def of_pair(images: LabelledImages, view: int, source: str) -> npt.NDArray[np.int64]:
    """Find the synthetic images of one view and source, indices in their order."""
    return np.flatnonzero((images.labels == view) & (images.sources == MADE + source))


def sheet(size: str, names: Sequence[str]) -> Images:
    """Lay out what the model draws for every pair: a row for each source, in it the first `SHOWN` images of each view,
    white where there are fewer.

    Returns:
        (sources * views * SHOWN, S, S), row by row.
    """
    made = sampled(size)
    side = made.images.shape[1]
    tiles = np.full((len(names), len(VIEWS), SHOWN, side, side), 255, np.uint8)
    for row, view in np.ndindex(len(names), len(VIEWS)):
        first = of_pair(made, view, names[row])[:SHOWN]
        tiles[row, view, : len(first)] = made.images[first]
    return tiles.reshape(-1, side, side)


def take(mixture: Mixture, real: Counts, names: Sequence[str], size: str) -> tuple[LabelledImages, Counts]:
    """Take the synthetic images of one mixture: the first of each pair of the synthetic set and of what was sampled
    beside it, so that mixtures have as many images in common as they can.

    Args:
        mixture: of the sources.
        real: training images.
        names: of the sources.
        size: the training subset.

    Returns:
        As many images as the synthetic set has, and their number by view and source.

    Raises:
        EchosynthError: there are too few of a pair.
    """
    pool, wanted = sampled(size), shares(mixture, real, len(synthetic(size).labels))
    kept = np.zeros(len(pool.labels), bool)
    for view, source in np.ndindex(*wanted.shape):
        members = of_pair(pool, view, names[source])
        if len(members) < wanted[view, source]:
            raise EchosynthError(
                f"{wanted[view, source]} synthetic images of {VIEWS[view]} in {names[source]} are asked for, and there "
                f"are {len(members)}: sample them anew with `dvc repro --force study/dvc.yaml:pairs@all-{size}`"
            )
        kept[members[: wanted[view, source]]] = True
    return pool.rows(kept), wanted
