"""Sets of other numbers of images a view, made from labelled images: copies, SMOTE, and parts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.prepare import grey_levels

NEIGHBOURS = 5  # of SMOTE, as in its paper
SMOTE_ID = "smote-"  # what the ids of its images begin with


def oversampled(real: LabelledImages, seed: int, per_view: int | None = None) -> LabelledImages:
    """Fill every view up with copies, taken in turn from a random order.

    Args:
        real: the images.
        seed: of the order.
        per_view: images of each view, 1 or more; None: as many as the largest view has. A view that has more gives so
            many in the random order.

    Raises:
        EchosynthError: a view has no image to copy.
    """
    wanted = per_view or max(real.by_view().values())
    picks = []
    for index, view in enumerate(VIEWS):
        members = np.flatnonzero(real.labels == index)
        if not len(members):
            raise EchosynthError(
                f"the oversampled arm cannot copy view {view}: the real set has none; use a larger split.subsets"
            )
        shuffled = np.random.default_rng((seed, index)).permutation(members)
        kept = members if len(members) <= wanted else shuffled[:wanted]
        picks.append(np.concatenate([kept, np.resize(shuffled, wanted - len(kept))]))
    return real.rows(np.concatenate(picks))


def smote(real: LabelledImages, seed: int) -> tuple[LabelledImages, dict[str, str]]:
    """Fill every view up to the largest one with SMOTE: points between an image and one of its nearest neighbours of
    the same view (Chawla et al. 2002, J. Artif. Intell. Res. 16), by imbalanced-learn, with 5 neighbours where the view
    has them.

    Differences are taken of floats (those of uint8 would wrap), and what comes out is rounded to grey levels.

    Args:
        real: the images.
        seed: of the neighbours and of the places between.

    Returns:
        The images, then the new ones view by view, whose ids begin with `SMOTE_ID`; and for each view that was not
        filled up as asked the reason: fewer neighbours, or none, or no image.
    """
    largest, added, notes = max(real.by_view().values()), [real], dict[str, str]()
    for index, view in enumerate(VIEWS):
        members = np.flatnonzero(real.labels == index)
        neighbours = min(NEIGHBOURS, len(members) - 1)
        if neighbours < 1:
            notes[view] = f"left as it is: SMOTE needs 2 images or more, and there {_are(len(members))}"
            continue
        if len(members) == largest:
            continue
        if neighbours < NEIGHBOURS:
            notes[view] = f"{neighbours} neighbours instead of {NEIGHBOURS}: there {_are(len(members))}"
        count = largest - len(members)
        parents = real.rows(np.resize(members, count))  # for the shape of each column; the pictures are replaced
        names = np.array([f"{SMOTE_ID}{view}-{number:06d}" for number in range(count)])
        made = _between(real.images[real.labels == index], count, neighbours, seed)
        added.append(replace(parents, images=made, groups=names, sources=np.full(count, SMOTE_ID[:-1]), ids=names))
    together = added[0]
    for more in added[1:]:
        together = together.joined(more)
    return together, notes


def _between(images: npt.NDArray[np.uint8], count: int, neighbours: int, seed: int) -> npt.NDArray[np.uint8]:
    """SMOTE's `count` new images (count, S, S) of one view with images (N, S, S), N at least 2."""
    from imblearn.over_sampling import SMOTE  # takes two seconds, and few need it

    flat = images.reshape(len(images), -1).astype(np.float32)
    # It makes images of the smaller of two classes; the other one here is only there because it asks for one.
    points = np.concatenate([flat, np.zeros((1, flat.shape[1]), np.float32)])
    labels = np.arange(len(points)) // len(flat)
    sampler = SMOTE(sampling_strategy={0: len(flat) + count}, k_neighbors=neighbours, random_state=seed)
    made, _ = sampler.fit_resample(points, labels)
    return grey_levels(made[len(points) :]).reshape(count, *images.shape[1:])


def balanced(number: int) -> list[int]:
    """Share `number` out evenly over the views, what is left over to the first ones."""
    each, left = divmod(number, len(VIEWS))
    return [each + (index < left) for index in range(len(VIEWS))]


def first_of_each_view(data: LabelledImages, counts: Sequence[int]) -> LabelledImages:
    """Take the first images of each view, in the order of the set, so that of several such parts the smaller lies in
    the larger.

    Args:
        data: a set, such as a synthetic one.
        counts: how many of each view, in the order of `VIEWS`.

    Raises:
        EchosynthError: there are not so many.
    """
    kept = np.zeros(len(data.labels), bool)
    for index, (view, count) in enumerate(zip(VIEWS, counts, strict=True)):
        members = np.flatnonzero(data.labels == index)
        if len(members) < count:
            raise EchosynthError(
                f"{count} synthetic images of {view} are asked for, and there {_are(len(members))}: make a larger set "
                "(sample.per_view) or ask for a smaller fraction"
            )
        kept[members[:count]] = True
    return data.rows(kept)


def _are(count: int) -> str:
    """Say how many there are."""
    return {0: "is none", 1: "is 1"}.get(count, f"are {count}")
