"""Real and sampled sets of the explorations, and the yardstick between them."""

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
from echosynth.config.explore import Reference
from echosynth.config.parameters import Params
from echosynth.diffusion.model import DiffusionCard, DiffusionModel
from echosynth.diffusion.options import SampleParams, SolverParams
from echosynth.diffusion.sampling import sample_batch
from echosynth.diffusion.set_plan import SetPlan, make_plan
from echosynth.evaluation.distance import Extract, Yardstick
from echosynth.evaluation.features import echo_features, inception_features, load_inception
from echosynth.imagesets.dataset import LabelledImages, read_split, read_subset
from echosynth.imagesets.store import Images

SCORES = Path("reports/explore")


def of_views(images: LabelledImages, views: Collection[int]) -> LabelledImages:
    """Keep those of some views."""
    return images.rows(np.isin(images.labels, sorted(views)))


def training_images(params: Params, views: Collection[int]) -> LabelledImages:
    """Read the explorations' subset, less other views.

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


def real_sets(params: Params, views: Collection[int], like: Reference) -> tuple[LabelledImages, LabelledImages]:
    """Read what sets are compared with, and other real images for the floor, as an entry of `explore.reference`
    says."""
    sources = params.data.train_sources
    if like == "validation-all":
        reference, other = read_split(sources, "validation"), read_split(sources, "train")
    elif like == "train-all":
        reference, other = read_split(sources, "train"), read_split(sources, "validation")
    elif like == "validation":
        reference, other = read_split(sources, "validation"), read_split(sources, "test")
    else:
        train = read_split(sources, "train")
        groups = np.random.default_rng(params.fidelity.seed).permutation(np.unique(train.groups))
        half = np.isin(train.groups, groups[: len(groups) // 2])
        reference, other = train.rows(half), train.rows(~half)
    return of_views(reference, views), of_views(other, views)


def yardstick(params: Params, views: Collection[int], like: Reference) -> Yardstick:
    """Make the distances to real images of some views, which an entry of `explore.reference` names, on echo features
    and, where its weights are there, Inception's."""
    echo, _ = load(paths.FEATURE_NETWORK, pick_device())
    kinds: dict[str, Extract] = {"echo": lambda images: echo_features(echo, images)}
    if params.fidelity.inception_weights:
        inception = load_inception(params.fidelity.inception_weights)
        kinds["inception"] = lambda images: inception_features(inception, images)
    settings, whole = params.fidelity, like.endswith("-all")
    return Yardstick(*real_sets(params, views, like), kinds, settings.floor_repeats, settings.seed, whole)


def mixture(card: DiffusionCard, options: SampleParams, counts: Mapping[int, int]) -> SetPlan:
    """Plan a set of so many images of each view (index of `VIEWS`), in the training images' mixture of sources."""
    as_trained = options.model_copy(update={"sources": "real" if card.sources else "none"})
    return make_plan(card, as_trained, {VIEWS[view]: number for view, number in counts.items()})


def sampled(
    model: DiffusionModel,
    plan: SetPlan,
    params: Params,
    options: SolverParams,
    what: str,
    guide: DiffusionModel | None = None,
) -> tuple[Images, float]:
    """Sample a set into memory.

    Args:
        model: on its device.
        plan: what each image shows.
        params: of the project: seed and batch size of section `sample`, precision of section `diffusion`.
        options: solver and guidance.
        what: shown in front of the progress.
        guide: an earlier snapshot, for autoguidance.

    Returns:
        (N, S, S) uint8, and images a second.

    Raises:
        EchosynthError: see `echosynth.diffusion.sampling`.
    """
    size, total = params.sample.batch_size, len(plan)
    blocks = [range(first, min(first + size, total)) for first in range(0, total, size)]
    began, parts = time.monotonic(), []
    for block in progress(blocks, len(blocks), what, "batches", images_each=size):
        rows = slice(block.start, block.stop)
        views, sources, seed = plan.views[rows], plan.sources[rows], params.sample.seed
        parts.append(sample_batch(model, views, sources, block, seed, options, params.diffusion.precision, guide))
    return np.concatenate(parts), total / (time.monotonic() - began)


def flat_distances(distances: dict[str, Any]) -> dict[str, float]:
    """Pick Frechet distances and floors of one result of the yardstick, by flat name, for MLflow."""
    kinds = [kind for kind, scores in distances.items() if isinstance(scores, dict)]
    return {f"{key}_{kind}": distances[kind][key] for kind in kinds for key in ("frechet", "floor_frechet")}
