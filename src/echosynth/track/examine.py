"""What speaks for a version and against it: its weights as the registry holds them, on the real test images here."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth import paths
from echosynth.classify.network import ClassifierCard, load, predict
from echosynth.config import Params
from echosynth.device import pick_device
from echosynth.errors import EchosynthError
from echosynth.files import file_hash, read_json
from echosynth.images.dataset import LabelledImages, read_split, read_subset
from echosynth.images.duplicates import group_keys
from echosynth.images.pack import read_manifest
from echosynth.images.schema import ASSIGNMENT, SUBSET, read_csv
from echosynth.measure.calibration import calibration_error
from echosynth.measure.gates import (
    Difference,
    Gate,
    calibration_gate,
    floor_gates,
    paired_differences,
    patients_gate,
    privacy_gate,
    registered_gate,
    regression_gates,
)
from echosynth.measure.scores import evaluate, headline
from echosynth.track import registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHECKED = ("test.macro_auprc", "test.macro_f1", "test.loss")


@dataclass(frozen=True)
class Examined:
    """A version on the real test images.

    Attributes:
        version: its number.
        card: what the registry holds beside its weights.
        probabilities: (N, 4).
        scores: what `echosynth.measure.scores.evaluate` returned, with the calibration error.
    """

    version: str
    card: ClassifierCard
    probabilities: npt.NDArray[np.float32]
    scores: dict[str, Any]


def read_test(params: Params) -> LabelledImages:
    """The real test images."""
    return read_split(params.data.train_sources, "test")


def examined(version: "ModelVersion", test: LabelledImages, params: Params) -> Examined:
    """Fetch a version anew and score it.

    Raises:
        EchosynthError: its files do not arrive, its card does not describe its weights, or it takes other pictures.
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
    if (side := test.images.shape[1]) != card.size:
        raise EchosynthError(
            f"{which} takes pictures of {card.size} pixels and the test images here have {side}, so that it cannot be "
            "scored on them; use the project (or revision) that it was trained in"
        )
    probabilities = predict(network, test.images)
    scores = evaluate(probabilities, test.labels, test.groups, test.sources)
    gap = calibration_error(probabilities, test.labels, params.promotion.calibration_bins)
    return Examined(str(version.version), card, probabilities, scores | {"calibration_error": gap})


def differences(first: Examined, second: Examined, test: LabelledImages, params: Params) -> dict[str, Difference]:
    """By how much the first version is better, see `echosynth.measure.gates.paired_differences`."""
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


def require_same_test_set(version: "ModelVersion", test: LabelledImages) -> None:
    """Check that the test images here are those that a version was scored on when it was registered.

    Raises:
        EchosynthError: they are not, or it was registered without scores on a test set.
    """
    which = f"version {version.version} of {version.name}"
    if "data.test" not in version.tags or any(f"score.{name}" not in version.tags for name in CHECKED):
        raise EchosynthError(
            f"{which} has no test scores; run `dvc repro final` and `echosynth register` where it was trained"
        )
    if (there := version.tags["data.test"]) != (here := test.hash()):
        raise EchosynthError(
            f"{which} was scored on another test set ({there[:8]}) than the one here ({here[:8]}); use the project (or "
            "`git checkout` and `dvc checkout` of the revision) that it was trained in"
        )


def require_same_training_set(one: Examined, params: Params) -> None:
    """Check that the training subset here is the one that a version was trained on: only then can its patients be
    compared with those of the test set.

    Raises:
        EchosynthError: it is not.
    """
    remedy = "use the project (or `git checkout` and `dvc checkout` of the revision) that it was trained in"
    if not paths.subset_file(one.card.subset).is_file():
        raise EchosynthError(f"version {one.version} was trained on subset {one.card.subset}, not there; {remedy}")
    if read_subset(params.data.train_sources, one.card.subset).hash() != one.card.training_hash:
        raise EchosynthError(
            f"version {one.version} was trained on other images than those of subset {one.card.subset} here; {remedy}"
        )


def shared_patients(params: Params, subset: str) -> int:
    """Number of patients with images in the training set (the whole of it, and this subset) and in the test set."""
    sources = params.data.train_sources
    manifest = pd.concat([read_manifest(paths.SOURCES / source) for source in sources], ignore_index=True)
    patient = pd.Series(group_keys(manifest), index=manifest["id"])
    split = read_csv(paths.ASSIGNMENT, ASSIGNMENT)
    ids = {name: set(rows["id"]) for name, rows in split.groupby("split")}
    trained = ids.get("train", set()) | set(read_csv(paths.subset_file(subset), SUBSET)["id"])
    sides = [set(patient[patient.index.isin(side)]) for side in (trained, ids.get("test", set()))]
    return len(sides[0] & sides[1])


def judge(
    version: "ModelVersion", champion: "ModelVersion | None", params: Params
) -> tuple[list[Gate], dict[str, float], list[str]]:
    """Put a version to the gates of section promotion.

    Args:
        version: the candidate.
        champion: what it is compared with, on the same images; None when there is none.
        params: all parameters.

    Returns:
        The gates, the scores as flat names, and notes for who reads them.

    Raises:
        EchosynthError: the version cannot be judged here: its files are gone or damaged, or the data is not its own.
    """
    test = read_test(params)
    require_same_test_set(version, test)
    candidate = examined(version, test, params)
    require_same_training_set(candidate, params)
    rival = examined(champion, test, params) if champion else None
    report = paths.FIDELITY / candidate.card.subset / "metrics.json"
    audit = read_json(report).get("privacy") if report.is_file() else None
    scores = headline(candidate.scores, "test") | {"test.calibration_error": candidate.scores["calibration_error"]}
    gates = [
        *floor_gates(candidate.scores, params.promotion),
        *regression_gates(differences(candidate, rival, test, params) if rival else None, params.promotion),
        calibration_gate(candidate.scores["calibration_error"], params.promotion),
        patients_gate(shared_patients(params, candidate.card.subset)),
        privacy_gate(audit, candidate.card.synthetic_images, candidate.card.training_hash, params.promotion),
        registered_gate(scores, {name: float(version.tags[f"score.{name}"]) for name in CHECKED}),
    ]
    return gates, scores, notes([champion] if champion else [], test)


def notes(others: "list[ModelVersion]", test: LabelledImages) -> list[str]:
    """What should be known of versions that were not trained for this test set."""
    split = file_hash(paths.ASSIGNMENT)
    return [
        f"version {version.version} comes from another split of the data: some of these test images may have been "
        "among its training images, which flatters it"
        for version in others
        if (version.tags.get("data.test"), version.tags.get("data.split")) != (test.hash(), split)
    ]


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
    one, two = (examined(version, test, params) for version in found)
    scores = [
        headline(each.scores, "test") | {"test.calibration_error": each.scores["calibration_error"]}
        for each in (one, two)
    ]
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
        "notes": notes(found, test),
    }
