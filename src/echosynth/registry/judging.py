"""Whether a version may go into use: what it comes from is checked, and its scores are put to the gates."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from echosynth.classifier.network import ClassifierCard
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json
from echosynth.config.parameters import Params
from echosynth.evaluation.scores import absent, headline
from echosynth.imagesets.cache import read_manifest
from echosynth.imagesets.dataset import LabelledImages, read_subset
from echosynth.imagesets.schema import ASSIGNMENT, SUBSET, read_csv
from echosynth.registry.gates import (
    Gate,
    calibration_gate,
    floor_gates,
    patients_gate,
    privacy_gate,
    registered_gate,
    regression_gates,
    size_gate,
)
from echosynth.registry.scoring import ScoredVersion, absent_notes, differences, fetched, notes, read_test, scored
from echosynth.splits.duplicates import group_keys

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHECKED = ("test.macro_auprc", "test.macro_f1", "test.loss")


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
    candidate = scored(version, *fetched(version), test, params)
    card, limits = candidate.card, params.promotion
    require_same_training_set(candidate, params)
    if limits.require_privacy_audit:
        require_known_synthetic_set(version, card)
    against, remarks = compared(candidate, champion, test, params)
    report = paths.fidelity_report("diffusion", card.subset) / "metrics.json"
    audit = read_json(report).get("privacy") if report.is_file() else None
    scores = headline(candidate.scores, "test")
    checked = {name: float(version.tags[f"score.{name}"]) for name in checked_scores(test)}
    gates = [
        *floor_gates(candidate.scores, limits),
        *against,
        calibration_gate(candidate.scores["calibration_error"], limits),
        patients_gate(shared_patients(params, card.subset)),
        privacy_gate(audit, card.synthetic_images, version.tags.get("data.synthetic", ""), card.training_hash, limits),
        registered_gate(scores, checked),
    ]
    return gates, scores, [*remarks, *absent_notes(candidate.scores)]


def checked_scores(test: LabelledImages) -> tuple[str, ...]:
    """Names of the registered scores that are computed anew: those of `CHECKED` that the test set can give."""
    return CHECKED if len(np.unique(test.labels)) > 1 else ("test.loss",)


def compared(
    candidate: ScoredVersion, champion: "ModelVersion | None", test: LabelledImages, params: Params
) -> tuple[list[Gate], list[str]]:
    """The gates of a comparison with the champion, on the same images, and notes on it.

    A champion that takes pictures of another size is not scored: enlarged or shrunk test images would be none that it
    was trained for, and make it look worse than it is.

    Raises:
        EchosynthError: the champion's files are gone or damaged.
    """
    limits, side = params.promotion, candidate.card.size
    if champion is None:
        return [size_gate(side, None, limits), *regression_gates(None, limits)], []
    network, card = fetched(champion)
    first = size_gate(side, card.size, limits)
    if card.size != side:
        registered = champion.tags.get("score.test.macro_f1", "unknown")
        note = (
            f"version {champion.version} takes pictures of {card.size} pixels and was not compared on these of {side}; "
            f"its macro F1 on test images of its own size, as registered, is {registered}"
        )
        return [first, *regression_gates(None, limits, comparable=False)], [note]
    rival = scored(champion, network, card, test, params)
    found = differences(candidate, rival, test, params)
    gates = regression_gates(found, limits, reasons=absent(candidate.scores))
    return [first, *gates], notes([champion], test)


def require_same_test_set(version: "ModelVersion", test: LabelledImages) -> None:
    """Check that the test images here are those that a version was scored on when it was registered.

    Raises:
        EchosynthError: they are not, or it was registered without scores on a test set.
    """
    which = f"version {version.version} of {version.name}"
    if "data.test" not in version.tags or any(f"score.{name}" not in version.tags for name in checked_scores(test)):
        raise EchosynthError(
            f"{which} has no test scores; run `dvc repro final` and `echosynth register` where it was trained"
        )
    if (there := version.tags["data.test"]) != (here := test.hash()):
        raise EchosynthError(
            f"{which} was scored on another test set ({there[:8]}) than the one here ({here[:8]}); use the project (or "
            "`git checkout` and `dvc checkout` of the revision) that it was trained in"
        )


def require_same_training_set(one: ScoredVersion, params: Params) -> None:
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


def require_known_synthetic_set(version: "ModelVersion", card: ClassifierCard) -> None:
    """Check that a version names the synthetic images that it was trained on: only then can an audit be of them.

    Raises:
        EchosynthError: it does not.
    """
    if card.synthetic_images and "data.synthetic" not in version.tags:
        raise EchosynthError(
            f"version {version.version} of {version.name} does not name the synthetic images that it was trained on "
            "(tag data.synthetic), so that no privacy audit can be found for it; run `dvc repro final` and `echosynth "
            "register` where it was trained"
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
