"""What a training of the study is made of, and those that cannot be made."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echosynth.classifier.network import predict
from echosynth.classifier.recipes import PLAIN, Recipe
from echosynth.classifier.train import train
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis.cells import Cell, Outcome, Train, name, note_left_out, run_cells
from echosynth.thesis.images import shifted, validation


@dataclass(frozen=True)
class Material:
    """What a training is made of.

    Attributes:
        data: its images.
        recipe: how its batches are drawn and weighed.
        facts: what else is to be known of it.
    """

    data: LabelledImages
    recipe: Recipe = PLAIN
    facts: dict[str, Any] = field(default_factory=dict)


Make = Callable[[Params, Cell], Material]


def trained(
    question: str, params: Params, cell: Cell, material: Material, shift_sources: Sequence[str] = ()
) -> Outcome:
    """Train a classifier from scratch and predict the validation images, and with `shift_sources` those of the domain
    shift."""
    data = material.data
    found = train(
        params.classifier, cell.architecture, cell.seed, data, name=name(question, cell), recipe=material.recipe
    )
    probabilities = predict(found.network, validation(params.data.train_sources).images)
    shift = predict(found.network, shifted(shift_sources).images) if shift_sources else None
    return Outcome(probabilities, len(data.labels), data.synthetic, found.steps, found.seconds, material.facts, shift)


def cells_of(params: Params, size: str, arms: Sequence[str], make: Make) -> tuple[list[Cell], dict[str, str]]:
    """The trainings of some arms on one subset, by the first of `arms.architectures` with every seed.

    Args:
        params: of the project.
        size: the training subset.
        arms: by name.
        make: makes what one is trained on.

    Returns:
        The trainings; and the arms that cannot be made, with the reason.
    """
    architecture, seeds = params.arms.architectures[0], params.classifier.seeds
    cells, left_out = list[Cell](), dict[str, str]()
    for arm in arms:
        mine = [Cell(arm, size, architecture, seed) for seed in seeds]
        try:
            make(params, mine[0])
        except EchosynthError as error:
            left_out[arm] = str(error)
            print(f"{arm} of {size} is left out: {error}", file=sys.stderr)
        else:
            cells += mine
    return cells, left_out


def run_arms(
    question: str,
    params: Params,
    size: str,
    arms: Sequence[str],
    make: Make,
    train: Train,
    more: Sequence[Path] = (),
) -> None:
    """Train the arms of a question on one subset, write reports/study/<question>/<size>; there left_out.json says which
    could not be made, and why.

    Args:
        question: name of the stage.
        params: of the project.
        size: the training subset.
        arms: by name.
        make: makes what one is trained on.
        train: trains one, see `echosynth.thesis.cells.run_cells`.
        more: files and folders that the trainings read beside the subset and its synthetic set.
    """
    cells, left_out = cells_of(params, size, arms, make)
    inputs = [paths.subset_file(size), paths.synthetic_set("diffusion", size), *more]
    run_cells(question, size, params, cells, train, inputs)
    note_left_out(question, size, left_out)


def by_view(data: LabelledImages) -> list[int]:
    """Count the images of each view, in the order of `VIEWS`."""
    return list(data.by_view().values())
