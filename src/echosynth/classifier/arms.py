"""Arms: the sets that classifiers are trained on, made from the same few real images and their synthetic set."""

from pathlib import Path

from echosynth.classifier.options import ArmName, group_of
from echosynth.common import paths
from echosynth.common.arm_names import MIXED, percent_of
from echosynth.common.errors import EchosynthError
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.rebalance import balanced, first_of_each_view, oversampled


def classifier_folder(arm: ArmName, size: int | str, architecture: str, seed: int) -> Path:
    """Folder of one trained classifier."""
    return paths.cell_folder(group_of(arm), size, architecture) / paths.seed_folder(arm, seed)


def has_weights(folder: Path) -> bool:
    """Whether a trained classifier kept its weights, see `arms.keep_weights`."""
    return (folder / paths.WEIGHTS).is_file()


def training_set(
    arm: ArmName, real: LabelledImages, synthetic: LabelledImages | None, seed: int, worth: int = 0
) -> LabelledImages:
    """The set of one arm.

    Args:
        arm: `real` as it is; `oversampled` by copying to the largest view; `synthetic`, or the name of a
            baseline: its synthetic set alone; `mixed` and what begins with it: real and synthetic together, of
            `mixed-70` synthetic ones worth 70 per cent of the real ones.
        real: the real images.
        synthetic: their synthetic set; needed by all but the first two.
        seed: of the copies.
        worth: number that the per cents are of; 0: that of the real images.

    Raises:
        EchosynthError: there is no synthetic set, or it holds too few images of a view.
    """
    if arm == "real":
        return real
    if arm == "oversampled":
        return oversampled(real, seed)
    if synthetic is None:
        raise EchosynthError(f"arm {arm} needs a synthetic set; run `dvc repro` to make it")
    if (percent := percent_of(arm)) is not None:
        return with_percent(real, synthetic, percent, worth)
    return real.joined(synthetic) if arm.startswith(MIXED) else synthetic


def with_percent(real: LabelledImages, synthetic: LabelledImages, percent: int, worth: int = 0) -> LabelledImages:
    """Real images with the first synthetic ones of each view, as many of each, worth so many per cent of their number.

    Args:
        real: the real images.
        synthetic: their synthetic set.
        percent: 0 or more.
        worth: number that the per cents are of; 0: that of the real images.

    Raises:
        EchosynthError: there are too few synthetic images of a view.
    """
    wanted = round(percent * (worth or len(real.labels)) / 100)
    return real.joined(first_of_each_view(synthetic, balanced(wanted)))
