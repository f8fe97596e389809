"""What a version must pass before it is promoted, in a small project whose networks are pretended."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.registry.pretended import SOURCE, add, promoted, refused, with_gates, write_project

from echosynth.common import paths
from echosynth.common.files import file_hash, write_json
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import read_subset
from echosynth.registry.copies import load_registered
from echosynth.registry.promotion import promote, rollback
from echosynth.registry.versions import NAME, SHA, aliases
from echosynth.serving.packaging import ARTIFACT
from echosynth.tracking import store


def test_a_patient_on_both_sides_is_found(project: Path, params: Params) -> None:
    write_project(shared=True)
    add(0.95)
    decision = promote(params, why="a test")
    assert decision.failed == ["patients in training and test"]


def test_synthetic_images_need_an_audit_of_themselves(project: Path, params: Params) -> None:
    add(0.95, synthetic=100, **{"data.synthetic": "a" * 32})
    assert promote(params, dry_run=True).failed == ["near copies among synthetic images"]
    report = paths.fidelity_report("diffusion", "all") / "metrics.json"
    write_json(report, {"subset": "all", "echo": {}})  # a report from before there were audits
    assert promote(params, dry_run=True).failed == ["near copies among synthetic images"]
    audit = {"training_hash": read_subset([SOURCE], "all").hash(), "near_copies": 0.01, "quantile": 0.01}
    audit |= {"synthetic_images": 100, "synthetic_hash": "a" * 32}
    write_json(report, {"privacy": audit})
    assert promote(params, dry_run=True).accepted
    write_json(report, {"privacy": audit | {"near_copies": 0.2}})
    assert promote(params, dry_run=True).failed == ["near copies among synthetic images"]
    write_json(report, {"privacy": audit | {"synthetic_hash": "b" * 32}})  # another set, of as many images
    assert promote(params, dry_run=True).failed == ["near copies among synthetic images"]


def test_a_version_that_does_not_name_its_synthetic_images_is_refused(
    project: Path, params: Params, params_with: Callable[..., Params]
) -> None:
    add(0.95, synthetic=100)
    refused(r"does not name the synthetic images .* run `dvc repro final` and `echosynth register`", promoted(params))
    assert promote(with_gates(params_with, require_privacy_audit=False), dry_run=True).accepted


def test_a_champion_of_another_picture_size_is_a_gate(
    project: Path, params: Params, params_with: Callable[..., Params]
) -> None:
    add(0.9, card={"size": 64})
    store.client().set_registered_model_alias(NAME, "champion", "1")
    add(0.95)
    comparison = ["macro AUPRC against the champion", "macro F1 against the champion"]
    decision = promote(params, why="smaller pictures")
    assert decision.failed == ["picture size against the champion", *comparison]
    assert aliases() == {"champion": "1"}

    allowed = promote(with_gates(params_with, allow_other_size=True), why="smaller pictures")
    assert allowed.accepted and aliases() == {"champion": "2", "previous": "1"}
    shown = {gate.name: gate.value for gate in allowed.gates}
    assert shown["picture size against the champion"] == "32 pixels, champion 64"
    assert {shown[name] for name in comparison} == {"not compared: other picture size"}
    (note,) = allowed.notes
    assert note.startswith("version 1 takes pictures of 64 pixels and was not compared") and "macro F1" in note


def test_a_version_of_other_pictures_of_the_same_patients_is_noted(project: Path, params: Params) -> None:
    add(0.9, **{"data.test": "f" * 32})
    store.client().set_registered_model_alias(NAME, "champion", "1")
    add(0.95)
    (note,) = promote(params, dry_run=True).notes
    assert note.startswith("version 1 comes from other pictures of the same split")


def test_overconfidence_is_refused(project: Path, params_with: Callable[..., Params]) -> None:
    add(0.95)
    strict = with_gates(params_with, max_calibration_error=0.01)
    assert promote(strict, dry_run=True).failed == ["calibration error"]


def test_scores_that_the_weights_do_not_reach_are_refused(project: Path, params: Params) -> None:
    add(0.9, **{"score.test.macro_f1": "0.99"})
    assert promote(params, dry_run=True).failed == ["registered scores"]


def test_what_cannot_be_judged_is_refused_and_changes_nothing(project: Path, params: Params) -> None:
    refused("holds no version of .* none is registered", lambda: promote(params, why="a test"))
    add(0.9)
    promote(params, why="a test")
    refused("version 1 of .* is the champion already", lambda: promote(params, "champion", "a test"))
    refused(r"holds no 9 of .* \(versions there: 1\)", lambda: promote(params, "9", "a test"))
    refused("v1 is a reserved name", lambda: promote(params, "v1", "a test"))
    refused("there is no previous champion", lambda: rollback("why not"))
    for call in (lambda: promote(params, "1", " "), lambda: rollback("")):
        refused("--reason is empty; say why", call)
    refused("holds no version without a name", lambda: promote(params, "", "a test"))  # an unset variable of a script
    refused("holds no 99999999999999999999 of", lambda: promote(params, "9" * 20, "a test"))
    cases: dict[str, dict[str, Any]] = {
        "has no test scores; run `dvc repro final`": {"data.test": None},
        "has no test scores": {"score.test.macro_f1": None},
        "was scored on another test set .* than the one here": {"data.test": "f" * 32},
        "its card names other training images": {"data.training": "f" * 32},
        "was trained on other images than those of subset all here": {
            "card": {"training_hash": "f" * 32},
            "data.training": "f" * 32,
        },
        "was trained on subset 400, not there": {"card": {"subset": "400"}},
        "takes pictures of 64 pixels and the test images here have 32": {"card": {"size": 64}},
    }
    for words, changes in cases.items():
        number = add(0.95, **changes)
        refused(words, lambda number=number: promote(params, number, "a test"))  # type: ignore[misc]


def test_files_that_are_gone_are_named(project: Path, params: Params) -> None:
    for skill in (0.9, 0.95, 0.97):
        add(skill)
    promote(params, "1", "a test")
    promote(params, "2", "a test")
    folders = sorted(Path().glob("logged-*"))
    shutil.rmtree(folders[2])
    refused(f"the files of version 3 of {NAME} do not come", lambda: promote(params, "3", "a test"))
    load_registered("1")  # a copy here does not help others
    shutil.rmtree(folders[0])
    refused(f"the files of version 1 of {NAME} do not come", lambda: rollback("why not"))


def test_a_card_that_does_not_describe_the_weights(
    project: Path, params: Params, classifier_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # a real network
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_ROOT", str(project))
    number = add(0.9, card={"architecture": "densenet121"})
    (folder,) = project.glob("logged-*")
    weights = folder / "artifacts" / ARTIFACT / "model.safetensors"
    shutil.copy(classifier_folder / "model.safetensors", weights)
    store.client().set_model_version_tag(NAME, number, SHA, file_hash(weights))
    refused("its card disagrees with its weights", lambda: promote(params, why="a test"))
