"""Whole synthetic sets of the baselines, as image sets like those of a diffusion model."""

import sys
from pathlib import Path

import numpy as np

from echosynth.baselines.draws import mixtures, pixel_gaussian
from echosynth.baselines.options import Baseline, BaselineParams
from echosynth.common.arrays import Images
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.diffusion.options import SampleParams
from echosynth.diffusion.set_plan import SetPlan, plan_set
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.store import write_image_stream

LEAST = 2  # images of a group that say how images of it differ


def make_plan(training: LabelledImages, options: SampleParams) -> SetPlan:
    """Decide what each image shows, as for the diffusion model's set; a baseline always tells the sources apart.

    Args:
        training: the real images.
        options: of it `per_view`, `views` and `sources`.

    Raises:
        EchosynthError: the training images lack a view, or the source that is asked for.
    """
    names, known = sorted(np.unique(training.sources).tolist()), {}
    if options.sources not in ("real", "balanced", "none", *names):
        raise EchosynthError(
            f"sample.sources = {options.sources}, but the subset holds {', '.join(names)} alone; name one of these, or "
            "real, balanced or none"
        )
    for index, view in enumerate(VIEWS):
        of_view = training.sources[training.labels == index]
        known[view] = {name: int((of_view == name).sum()) for name in names}
    return plan_set(known, names, options)


def group_of(training: LabelledImages, view: int, source: str | None) -> Images:
    """Find the images whose view and source an image is to have; those of the view, whatever their source, where no
    source is told or fewer than two images are of it."""
    of_view = training.labels == view
    own = of_view & (training.sources == source)
    return training.images[own if own.sum() >= LEAST else of_view]


def draw(generator: Baseline, training: LabelledImages, plan: SetPlan, seed: int, settings: BaselineParams) -> Images:
    """Draw all images of a plan, (N, S, S) uint8; of a view with a single image they are copies of it, which is said.

    Args:
        generator: which baseline.
        training: the real images that it may use.
        plan: what each image shows.
        seed: image n depends on it and n alone, as far as the draws go.
        settings: of the baselines.
    """
    made = np.empty((len(plan), *training.images.shape[1:]), np.uint8)
    for view, token in np.unique(np.stack([plan.views, plan.sources]), axis=1).T:
        numbers = np.flatnonzero((plan.views == view) & (plan.sources == token))
        group = group_of(training, view, plan.source(numbers[0]))
        if len(group) < LEAST:
            print(f"{generator}: one training image of {VIEWS[view]}, all made are copies of it", file=sys.stderr)
        if generator == "gaussian":
            made[numbers] = pixel_gaussian(group, numbers, seed)
        else:
            made[numbers] = mixtures(group, numbers, seed, settings.mixup_alpha)
    return made


def make_set(
    generator: Baseline,
    training: LabelledImages,
    options: SampleParams,
    settings: BaselineParams,
    out: Path,
    name: str,
) -> SetPlan:
    """Make the synthetic set of a baseline.

    Args:
        generator: which baseline.
        training: the real images that it may use.
        options: section `sample`; of it `seed`, `per_view`, `views` and `sources`.
        settings: of the baselines.
        out: folder of the image set, replaced when it is there; metrics.json lies in it too.
        name: image n gets the id <name>-<n>.

    Returns:
        What its images show.

    Raises:
        EchosynthError: the training images lack a view.
    """
    plan = make_plan(training, options)
    images = draw(generator, training, plan, options.seed, settings)
    rows = ((plan.manifest_row(number, name, images.shape[1]), image) for number, image in enumerate(images))
    write_image_stream(out, rows, lambda: {"metrics.json": plan.facts() | {"generator": generator}})
    return plan
