"""Figures 5.18 and 5.19, and what the authors wished to know: which ways help rare views, and whether the number of
images does the work or their balance."""

from collections.abc import Sequence
from typing import Literal, cast, get_args

from echosynth.classifier.recipes import Recipe
from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.diffusion.set_plan import apportion
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.rebalance import balanced, first_of_each_view, oversampled, smote
from echosynth.thesis.cells import Cell, Outcome
from echosynth.thesis.images import subset, synthetic
from echosynth.thesis.material import Material, by_view, run_arms, trained

QUESTION = "rebalance"
# Of synthetic images: few are as many as there are real ones, many as many as there can be in both mixtures.
Part = Literal["synthetic-few-real", "synthetic-few-balanced", "synthetic-many-real", "synthetic-many-balanced"]
Strategy = (
    Literal[
        "real",
        "oversampled",
        "oversampled-to-synthetic",
        "class-weighted",
        "balanced-batches",
        "smote",
        "batch-mixup",
        "backmix",
        "synthetic",
    ]
    | Part
)
PARTS: tuple[Part, ...] = get_args(Part)
STRATEGIES: tuple[Strategy, ...] = tuple(name for part in get_args(Strategy) for name in get_args(part) or (part,))


def run(params: Params, size: str) -> None:
    """Train every strategy on one subset, write reports/study/rebalance/<size>."""
    run_arms(QUESTION, params, size, STRATEGIES, make, train)


def train(params: Params, cell: Cell) -> Outcome:
    """Train one cell."""
    return trained(QUESTION, params, cell, make(params, cell))


def make(params: Params, cell: Cell) -> Material:
    """Make what a cell is trained on.

    Raises:
        EchosynthError: there are too few images for it.
    """
    real, made = subset(params.data.train_sources, cell.subset), synthetic(cell.subset)
    return material(cast(Strategy, cell.arm), real, made, cell.seed, params.study.mixup_alpha)


def material(strategy: Strategy, real: LabelledImages, made: LabelledImages, seed: int, alpha: float) -> Material:
    """Make what one strategy trains on.

    Args:
        strategy: one of `STRATEGIES`.
        real: the real images.
        made: their synthetic set.
        seed: of copies and of SMOTE.
        alpha: of mixup.

    Raises:
        EchosynthError: there are too few images for it.
    """
    match strategy:
        case "real":
            return Material(real)
        case "oversampled":
            return Material(oversampled(real, seed))
        case "oversampled-to-synthetic":
            return Material(oversampled(real, seed, max(by_view(made))))
        case "class-weighted":
            return Material(real, Recipe(class_weights=True))
        case "balanced-batches":
            return Material(real, Recipe(balanced=True))
        case "smote":
            data, notes = smote(real, seed)
            return Material(data, facts={"smote": notes})
        case "batch-mixup":
            return Material(real, Recipe(mixing="mixup", alpha=alpha))
        case "backmix":
            return Material(real, Recipe(mixing="backmix"))
        case "synthetic":
            return Material(made)
        case _:
            return Material(synthetic_part(strategy, real, made))


def synthetic_part(part: Part, real: LabelledImages, made: LabelledImages) -> LabelledImages:
    """Take a part of a synthetic set: few or many images, balanced or in the proportions of the real ones.

    Raises:
        EchosynthError: there are too few synthetic images of a view.
    """
    few, counts = len(real.labels), by_view(real)
    number = few if "few" in part else largest_in_both(counts, by_view(made))
    if "many" in part and number <= few:
        raise EchosynthError(
            f"balanced and in the proportions of the real images there are {number} synthetic images at most, no more "
            f"than the {few} real ones: make a larger set (sample.per_view)"
        )
    return first_of_each_view(made, balanced(number) if part.endswith("balanced") else apportion(number, counts))


def largest_in_both(real: Sequence[int], made: Sequence[int]) -> int:
    """Find how many synthetic images there are at most, both balanced and in the proportions of the real ones, so that
    two sets that differ in their balance alone are of one size.

    Args:
        real: real images of each view.
        made: synthetic ones.
    """
    number = sum(made)
    while any(
        wanted > there
        for plan in (balanced(number), apportion(number, real))
        for wanted, there in zip(plan, made, strict=True)
    ):
        number -= 1
    return number
