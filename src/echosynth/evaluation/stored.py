"""The classifiers that the stages `classify` keep, with their scores and predictions."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echosynth.classifier.arms import classifier_folder
from echosynth.classifier.options import ArmName
from echosynth.common.files import read_json
from echosynth.evaluation.comparison import ScoredClassifier
from echosynth.evaluation.predictions import read_probabilities


def folder_of(classifier: ScoredClassifier) -> Path:
    """Folder of a classifier that a stage `classify` keeps."""
    return classifier_folder(*(classifier.facts[key] for key in ("arm", "subset", "architecture", "seed")))


def stored_classifiers(
    arms: Sequence[ArmName],
    subsets: Sequence[int | str],
    architectures: Sequence[str],
    seeds: Sequence[int],
    ids: npt.NDArray[np.str_],
) -> list[ScoredClassifier]:
    """Read what was trained, by architecture, subset, arm and seed.

    Args:
        arms: that were trained.
        subsets: of real images.
        architectures: of the networks.
        seeds: of the trainings.
        ids: (N,) of the validation images.

    Raises:
        EchosynthError: a file is missing or damaged, or is about other images.
    """
    runs = []
    for architecture, size, arm, seed in product(architectures, subsets, arms, seeds):
        folder = classifier_folder(arm, size, architecture, seed)
        metrics = read_json(folder / "metrics.json")
        probabilities = read_probabilities(folder / "validation.csv", ids)
        runs.append(ScoredClassifier(metrics["facts"], metrics["validation"], probabilities))
    return runs
