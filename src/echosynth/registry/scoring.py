"""Versions on the real test images: their weights as the registry holds them, scored here and compared."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import nn

from echosynth.classifier.network import ClassifierCard, load, predict
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.evaluation.calibration import evaluate_calibrated
from echosynth.evaluation.paired import Difference, paired_differences
from echosynth.evaluation.scores import absent, headline
from echosynth.imagesets.dataset import LabelledImages, read_split
from echosynth.registry import versions as registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class ScoredVersion:
    """A version on the real test images.

    Attributes:
        version: its number.
        card: what the registry holds beside its weights.
        probabilities: (N, 4).
        scores: what `echosynth.evaluation.scores.evaluate` returned, with the calibration error.
    """

    version: str
    card: ClassifierCard
    probabilities: npt.NDArray[np.float32]
    scores: dict[str, Any]


def read_test(params: Params) -> LabelledImages:
    """The real test images."""
    return read_split(params.data.train_sources, "test")


def fetched(version: "ModelVersion") -> tuple[nn.Module, ClassifierCard]:
    """A version's network and card, fetched anew.

    Raises:
        EchosynthError: its files do not arrive, or its card does not describe its weights.
    """
    which = f"version {version.version} of {version.name}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        registry.fetch(version, folder)
        try:
            network, card = load(folder, pick_device())
        except EchosynthError as error:
            reason = str(error).replace(f"{folder}/", "")
            raise EchosynthError(
                f"{which}: its card disagrees with its weights ({reason}); delete the version and register its model "
                "anew"
            ) from None
    if version.tags.get("data.training", card.training_hash) != card.training_hash:
        raise EchosynthError(
            f"{which}: its card names other training images than its tag data.training; delete the version and "
            "register its model anew"
        )
    return network, card


def scored(
    version: "ModelVersion", network: nn.Module, card: ClassifierCard, test: LabelledImages, params: Params
) -> ScoredVersion:
    """A version with its scores.

    Raises:
        EchosynthError: it takes pictures of another size than the test images'.
    """
    if (side := test.images.shape[1]) != card.size:
        raise EchosynthError(
            f"version {version.version} of {version.name} takes pictures of {card.size} pixels and the test images "
            f"here have {side}, so that it cannot be scored on them; use the project (or revision) that it was trained "
            "in"
        )
    probabilities = predict(network, test.images)
    bins = params.promotion.calibration_bins
    scores = evaluate_calibrated(probabilities, test.labels, test.groups, test.sources, bins)
    return ScoredVersion(str(version.version), card, probabilities, scores)


def differences(
    first: ScoredVersion, second: ScoredVersion, test: LabelledImages, params: Params
) -> dict[str, Difference]:
    """By how much the first version is better, see `echosynth.evaluation.paired.paired_differences`."""
    gates = params.promotion
    return paired_differences(
        first.probabilities,
        second.probabilities,
        test.labels,
        test.groups,
        gates.alpha,
        gates.bootstrap,
        gates.bootstrap_seed,
    )


def notes(others: "list[ModelVersion]", test: LabelledImages) -> list[str]:
    """What should be known of versions that were not trained for this test set."""
    split, found = file_hash(paths.ASSIGNMENT), []
    for version in others:
        if version.tags.get("data.split") != split:
            found.append(
                f"version {version.version} comes from another split of the data: some of these test images may have "
                "been among its training images, which flatters it"
            )
        elif version.tags.get("data.test") != test.hash():
            found.append(
                f"version {version.version} comes from other pictures of the same split: these test images were "
                "prepared in another way than those that it was trained for, which may count against it"
            )
    return found


def absent_notes(scores: Mapping[str, Any]) -> list[str]:
    """Say which scores the test set cannot give, and why.

    Args:
        scores: what `echosynth.evaluation.scores.evaluate` returned.
    """
    names: dict[str, list[str]] = {}
    for name, reason in absent(scores).items():
        names.setdefault(reason, []).append(name)
    return [f"no {', '.join(group)}: the test set has {reason}" for reason, group in names.items()]


def compare_models(first: str, second: str, params: Params) -> dict[str, Any]:
    """Two versions on the same real test images.

    Args:
        first: alias or version.
        second: alias or version.
        params: all parameters.

    Returns:
        versions: their numbers; images, patients: of the test set; test_hash; scores: name -> both; differences: name
        -> value of the first less the second, and its 95 % interval over patients; notes.

    Raises:
        EchosynthError: one of them does not exist or cannot be scored here.
    """
    found = [registry.find(which) for which in (first, second)]
    test = read_test(params)
    one, two = (scored(version, *fetched(version), test, params) for version in found)
    scores = [headline(each.scores, "test") for each in (one, two)]
    return {
        "versions": [one.version, two.version],
        "images": len(test.labels),
        "patients": len(np.unique(test.groups)),
        "test_hash": test.hash(),
        "scores": {name: [each[name] for each in scores] for name in scores[0]},
        "differences": {
            name: {"value": each.value, "interval": each.interval}
            for name, each in differences(one, two, test, params).items()
        },
        "notes": [*notes(found, test), *absent_notes(one.scores)],
    }
