"""What the measures of a synthetic set say of pictures that are known: a yardstick is read better after it was laid to
things whose length one knows."""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Images
from echosynth.common.views import VIEW_INDEX, VIEWS
from echosynth.evaluation.agreement import view_agreement
from echosynth.evaluation.fidelity import Ints, fidelity, matched_counts
from echosynth.evaluation.frechet import Features
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.prepare import grey_levels

Pictures = tuple[Images, Ints]  # images (N, S, S) uint8 and the views (N,) that they are said to show
EXCHANGED = {"A2C": "A4C", "A4C": "A2C", "PLAX": "PSAX", "PSAX": "PLAX"}
COPIED = 3  # training images of each view
LEVELS = 8  # grey levels of noise and chequers


def known_pictures(held_out: LabelledImages, training: LabelledImages, seed: int) -> dict[str, Pictures]:
    """Make sets of pictures of which one knows what is wrong with them.

    Args:
        held_out: real images that nothing was trained on.
        training: real images that a generator might copy, at least one of each view that is held out.
        seed: of the noise, and of which images are copied.

    Returns:
        In words, what they are -> the pictures, as many of each view as `held_out` has.

    Raises:
        EchosynthError: there is no training image of a view that is held out.
    """
    matched_counts([held_out.labels, training.labels], len(held_out.labels))  # each view is there
    real, labels, rng = held_out.images, held_out.labels, np.random.default_rng(seed)
    side = np.arange(real.shape[1])
    chequers = LEVELS * (1 - 2 * ((side[:, None] + side) % 2))
    exchanged = np.array([VIEW_INDEX[EXCHANGED[view]] for view in VIEWS])
    copies, means, trained_on = np.empty_like(real), np.empty_like(real), list[Ints]()
    for view in np.unique(labels):
        mine, members = labels == view, rng.permutation(np.flatnonzero(training.labels == view))
        own = training.images[members]
        trained_on.append(members[: mine.sum()])
        copies[mine] = np.resize(own[:COPIED], (mine.sum(), *real.shape[1:]))
        means[mine] = grey_levels(own.mean(0))
    return {
        "other real images": (real, labels),
        "training images": (training.images[np.concatenate(trained_on)], training.labels[np.concatenate(trained_on)]),
        "blurred, a deviation of 1 pixel": (np.stack([cv2.GaussianBlur(one, (0, 0), 1.0) for one in real]), labels),
        f"noise of {LEVELS} grey levels": (grey_levels(real + LEVELS * rng.standard_normal(real.shape)), labels),
        f"chequers of {LEVELS} grey levels": (grey_levels(real.astype(float) + chequers), labels),
        "mirrored": (np.ascontiguousarray(real[:, :, ::-1]), labels),
        "A2C and A4C, PLAX and PSAX exchanged": (real, exchanged[labels]),
        f"{COPIED} training images of each view, copied": (copies, labels),
        "the mean image of each view": (means, labels),
    }


def measured(
    sets: Mapping[str, Pictures],
    validation: LabelledImages,
    features: Callable[[Images], Features],
    judge: Callable[[Images], npt.NDArray[Any]],
    count: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Measure known pictures as a synthetic set is measured, with one draw.

    Args:
        sets: see `known_pictures`.
        validation: the real images that they are compared with.
        features: from images (N, S, S) uint8 to (N, D).
        judge: from images to the probability of each view (N, 4).
        count: most images on a side.
        seed: of the draw.

    Returns:
        For each set its name, kernel, frechet and view_agreement. Distances are to the validation images of the views
        that the set shows, which are None where there are none.
    """
    reference, found = features(validation.images), []
    for name, (images, labels) in sets.items():
        own, there = features(images), np.isin(validation.labels, labels)
        row = {"name": name, "view_agreement": view_agreement([judge(images)], labels)["macro"]}
        row |= dict.fromkeys(("kernel", "frechet"))
        if there.any():
            compared = reference[there], validation.labels[there]
            distances = fidelity(own, labels, *compared, None, None, count, 1, seed)
            row |= {key: distances[key] for key in ("kernel", "frechet")}
        found.append(row)
    return found
