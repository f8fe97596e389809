"""Arms: the sets that classifiers are trained on, made from the same few real images and their synthetic set."""

from pathlib import Path

import numpy as np

from echosynth.classifier.options import MIXED, ArmName, group_of
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.imagesets.dataset import LabelledImages


def classifier_folder(arm: ArmName, size: int | str, architecture: str, seed: int) -> Path:
    """Folder of one trained classifier."""
    return paths.cell_folder(group_of(arm), size, architecture) / paths.seed_folder(arm, seed)


def oversampled(real: LabelledImages, seed: int) -> LabelledImages:
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
    return real.rows(np.concatenate(picks))


def training_set(arm: ArmName, real: LabelledImages, synthetic: LabelledImages | None, seed: int) -> LabelledImages:
    """The set of one arm.

    Args:
        arm: `real` as it is; `oversampled` by copying to the largest view; `synthetic`, or the name of a
            baseline: its synthetic set alone; `mixed` and what begins with it: real and synthetic together.
        real: the real images.
        synthetic: their synthetic set; needed by all but the first two.
        seed: of the copies.
    """
    if arm == "real":
        return real
    if arm == "oversampled":
        return oversampled(real, seed)
    if synthetic is None:
        raise EchosynthError(f"arm {arm} needs a synthetic set; run `dvc repro` to make it")
    return real.joined(synthetic) if arm.startswith(MIXED) else synthetic
