"""Real and sampled sets of the explorations, and the yardstick between them."""

import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from echosynth.classifier.network import load
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress
from echosynth.common.views import VIEWS
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.diffusion.model import DiffusionCard, DiffusionModel
from echosynth.diffusion.plan import Plan, apportion, make_plan
from echosynth.diffusion.sample import Sampling, check_guidance, sample_batch
from echosynth.evaluation.distance import Extract, Yardstick
from echosynth.evaluation.features import echo_features, inception_features, load_inception
from echosynth.imagesets.dataset import LabelledImages, read_split, read_subset
from echosynth.imagesets.store import Images

SCORES = Path("reports/explore")


def of_views(images: LabelledImages, views: Collection[int]) -> LabelledImages:
    """Those of some views."""
    return images.rows(np.isin(images.labels, sorted(views)))


def training_images(params: Params, views: Collection[int]) -> LabelledImages:
    """The explorations' subset, less other views.

    Raises:
        EchosynthError: no such subset is drawn, or it holds no image of a view.
    """
    subset = params.explore.subset
    if subset not in params.split.subsets:
        known = ", ".join(map(str, params.split.subsets))
        raise EchosynthError(f"explore.subset = {subset} is none of split.subsets, which are {known}; name one of them")
    real = of_views(read_subset(params.data.train_sources, str(subset)), views)
    if missing := [VIEWS[view] for view in sorted(views) if not (real.labels == view).any()]:
        raise EchosynthError(f"explore.subset = {subset} holds no image of {', '.join(missing)}; name a larger one")
    return real


def real_sets(params: Params, views: Collection[int]) -> tuple[LabelledImages, LabelledImages]:
    """What sets are compared with, and other real images for the floor: as `explore.reference` says."""
    sources = params.data.train_sources
    if params.explore.reference == "validation":
        reference, other = read_split(sources, "validation"), read_split(sources, "test")
    else:
        train = read_split(sources, "train")
        groups = np.random.default_rng(params.fidelity.seed).permutation(np.unique(train.groups))
        half = np.isin(train.groups, groups[: len(groups) // 2])
        reference, other = train.rows(half), train.rows(~half)
    return of_views(reference, views), of_views(other, views)


def yardstick(params: Params, views: Collection[int]) -> Yardstick:
    """Distances to real images of some views, on echo features and, where the weights are there, on Inception's."""
    echo, _ = load(paths.FEATURE_NETWORK, pick_device())
    kinds: dict[str, Extract] = {"echo": lambda images: echo_features(echo, images)}
    weights = Path(params.fidelity.inception_weights)
    if weights.is_file():
        inception = load_inception(weights)
        kinds["inception"] = lambda images: inception_features(inception, images)
    else:
        print(f"No Inception distances: {weights} is not there.", file=sys.stderr)
    return Yardstick(*real_sets(params, views), kinds, params.fidelity.floor_repeats, params.fidelity.seed)


def exact_counts(scale: Yardstick, count: int) -> dict[int, int]:
    """View -> images of a set of exactly `count` in the reference's mixture, more than there are real ones too."""
    views, numbers = np.unique(scale.reference, return_counts=True)
    return dict(zip(views.tolist(), apportion(count, numbers.tolist()), strict=True))


def mixture(card: DiffusionCard, counts: Mapping[int, int]) -> Plan:
    """The plan of a set of so many images of each view, in the training images' mixture of sources."""
    sources = "real" if card.sources else "none"
    return make_plan(card, {VIEWS[view]: number for view, number in counts.items()}, sources=sources)


def table_sampling(params: Params) -> Sampling:
    """How the sets of tables 5.1 and 5.2 are sampled."""
    return Sampling(params.explore.solver, params.explore.evaluations)


def sampled(
    model: DiffusionModel,
    card: DiffusionCard,
    plan: Plan,
    params: Params,
    how: Sampling,
    what: str,
    guide: DiffusionModel | None = None,
) -> tuple[Images, float]:
    """Sample a set into memory.

    Returns:
        (N, S, S) uint8, and images a second.

    Raises:
        EchosynthError: see `echosynth.diffusion.sample`.
    """
    check_guidance(card, how, guide is not None)
    size, total = params.sample.batch_size, len(plan)
    blocks = [range(first, min(first + size, total)) for first in range(0, total, size)]
    began, parts = time.monotonic(), []
    for block in progress(blocks, len(blocks), what, "batches", images_each=size):
        rows = slice(block.start, block.stop)
        views, sources, seed = plan.views[rows], plan.sources[rows], params.sample.seed
        parts.append(sample_batch(model, views, sources, block, seed, how, params.diffusion.precision, guide))
    return np.concatenate(parts), total / (time.monotonic() - began)


def numbers(distances: dict[str, Any]) -> dict[str, float]:
    """Frechet distances and floors of one result of the yardstick, by flat name, for MLflow."""
    kinds = [kind for kind, found in distances.items() if isinstance(found, dict)]
    return {f"{key}_{kind}": distances[kind][key] for kind in kinds for key in ("frechet", "floor_frechet")}
