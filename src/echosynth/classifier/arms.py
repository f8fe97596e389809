"""Arms: the sets that classifiers are trained on, made from the same few real images and their synthetic set."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echosynth.classifier.options import ArmName
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.imagesets.store import Images

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingSet:
    """Images to train a classifier on.

    Attributes:
        images: (N, S, S) uint8.
        labels: (N,) int64, index of the view.
        synthetic: how many of them are synthetic.
    """

    images: Images
    labels: Labels
    synthetic: int = 0

    def by_view(self) -> dict[str, int]:
        """Number of images of each view."""
        counts = np.bincount(self.labels, minlength=len(VIEWS))
        return {view: int(count) for view, count in zip(VIEWS, counts, strict=True)}


def oversampled(real: TrainingSet, seed: int) -> TrainingSet:
    """Every view filled up to the largest one with copies, taken in turn from a random order.

    Raises:
        EchosynthError: a view has no image to copy.
    """
    largest = max(real.by_view().values())
    picks = []
    for index, view in enumerate(VIEWS):
        members = np.flatnonzero(real.labels == index)
        if not len(members):
            raise EchosynthError(
                f"the oversampled arm cannot copy view {view}: the real set has none; use a larger split.subsets"
            )
        shuffled = np.random.default_rng((seed, index)).permutation(members)
        picks.append(np.concatenate([members, np.resize(shuffled, largest - len(members))]))
    order = np.concatenate(picks)
    return TrainingSet(real.images[order], real.labels[order])


def training_set(arm: ArmName, real: TrainingSet, synthetic: TrainingSet | None, seed: int) -> TrainingSet:
    """The set of one arm.

    Args:
        arm: `real` as it is; `oversampled` by copying to the largest view; `synthetic` alone; `mixed`: real and
            synthetic together.
        real: the real images.
        synthetic: their synthetic set; needed by the last two.
        seed: of the copies.
    """
    if arm == "real":
        return real
    if arm == "oversampled":
        return oversampled(real, seed)
    if synthetic is None:
        raise EchosynthError(f"arm {arm} needs a synthetic set; run `dvc repro` to make it")
    if arm == "synthetic":
        return synthetic
    images = np.concatenate([real.images, synthetic.images])
    return TrainingSet(images, np.concatenate([real.labels, synthetic.labels]), synthetic.synthetic)
