"""Arms: the sets that classifiers are trained on, made from the same few real images and their synthetic set."""

from pathlib import Path

from echosynth.classifier.options import MIXED, ArmName, group_of
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.rebalance import oversampled


def classifier_folder(arm: ArmName, size: int | str, architecture: str, seed: int) -> Path:
    """Folder of one trained classifier."""
    return paths.cell_folder(group_of(arm), size, architecture) / paths.seed_folder(arm, seed)


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
