"""Promotion and rollback in a small project whose networks are pretended: how often one is right stands in its file."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from echosynth import paths
from echosynth.classify.network import ClassifierCard
from echosynth.config import Params
from echosynth.errors import EchosynthError
from echosynth.files import file_hash, read_json, write_json
from echosynth.images.dataset import read_split, read_subset
from echosynth.images.store import write_image_set
from echosynth.measure.scores import evaluate, headline
from echosynth.track import decisions, examine, promotion, store
from echosynth.track.examine import compare_models
from echosynth.track.packaging import ARTIFACT
from echosynth.track.promotion import CLAIM, promote, rollback, unlock
from echosynth.track.registry import CARD_SHA, NAME, SHA, aliases, load_registered
from echosynth.views import VIEWS

SOURCE, SIDE = "tmed2", 32
TRAINED, TESTED = 80, 120


def write_project(shared: bool = False) -> None:
    """Pictures that hold their view and how hard they are, two of each patient, in a training and a test set."""
    count = TRAINED + TESTED
    ids = [f"{SOURCE}-{number:012x}" for number in range(count)]
    labels = np.arange(count) // 2 % 4
    patients = np.arange(count) // 2
    if shared:
        patients[-1] = patients[0]
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = labels, np.random.default_rng(0).permutation(count)
    facts: dict[str, Any] = {
        "id": ids,
        "source": SOURCE,
        "view": [VIEWS[label] for label in labels],
        "group": [f"p{n}" for n in patients],
    }
    facts |= {"group_kind": "patient", "official_split": "", "moment": "", "frame": 0, "frames": 1}
    write_image_set(
        paths.SOURCES / SOURCE, images, pd.DataFrame(facts | {"width": 640, "height": 480, "synthetic": False})
    )
    split = ["train"] * TRAINED + ["test"] * TESTED
    paths.subset_file("all").parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"id": ids, "source": SOURCE, "split": split}).to_csv(paths.ASSIGNMENT, index=False)
    pd.DataFrame({"id": ids[:TRAINED]}).to_csv(paths.subset_file("all"), index=False)


def pretended_load(folder: Path, device: object) -> tuple[float, ClassifierCard]:
    card = ClassifierCard.model_validate(read_json(Path(folder) / "card.json"))
    return float((Path(folder) / "model.safetensors").read_text()), card


def pretended_predict(skill: float, images: np.ndarray) -> np.ndarray:
    """Sure of the right view where the picture is easy enough, and of the next one elsewhere."""
    label, hard = images[:, 0, 0].astype(int), images[:, 0, 1] / (TRAINED + TESTED)
    called = np.where(hard < skill, label, (label + 1) % 4)
    sure = 0.9 - 0.1 * hard  # so that no two are equal
    probabilities = np.repeat(((1 - sure) / 3)[:, None], 4, axis=1)
    probabilities[np.arange(len(label)), called] = sure
    return probabilities.astype(np.float32)


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with data, reports and an empty registry."""
    monkeypatch.setattr(examine, "load", pretended_load)
    monkeypatch.setattr(examine, "predict", pretended_predict)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(workspace / "gitconfig"))
    (workspace / "gitconfig").write_text("[user]\n\tname = Ada\n")
    write_project()
    return workspace


@pytest.fixture
def params(params_with: Callable[..., Params]) -> Params:
    return with_gates(params_with)


def with_gates(params_with: Callable[..., Params], **changes: Any) -> Params:
    """The gates of these tests, whatever the demo's are."""
    gates = {
        "min_macro_f1": 0.8,
        "min_recall": dict.fromkeys(VIEWS, 0.7),
        "max_regression": {"macro_auprc": 0.05, "macro_f1": 0.05},
        "max_calibration_error": 0.3,  # these networks are surest where they are right
        "bootstrap": 200,
    }
    data = {"train_sources": [SOURCE], "shift_sources": []}
    return params_with(promotion=gates | changes, data=data, split={"subsets": ["all"]})


def add(skill: float, synthetic: int = 0, card: dict[str, Any] | None = None, **tags: Any) -> str:
    """Register a pretended network as `echosynth.track.register` does; its number. A tag that is None is left out."""
    training, test = read_subset([SOURCE], "all"), read_split([SOURCE], "test")
    facts: dict[str, Any] = {"size": SIDE, "resampling": "cubic", "architecture": "resnet18", "arm": "mixed"}
    facts |= {"subset": "all", "seed": 0, "steps": 1, "training_images": training.by_view()}
    facts |= {"synthetic_images": synthetic, "training_hash": training.hash()}
    client = store.client()
    folder = Path(f"logged-{time.monotonic_ns()}").resolve()
    files = folder / "artifacts" / ARTIFACT
    files.mkdir(parents=True)
    (files / "model.safetensors").write_text(str(skill))
    write_json(files / "card.json", ClassifierCard.model_validate(facts | (card or {})).model_dump(mode="json"))
    scores = headline(evaluate(pretended_predict(skill, test.images), test.labels, test.groups, test.sources), "test")
    known = {f"score.{name}": f"{value:.6g}" for name, value in scores.items()}
    known |= {SHA: file_hash(files / "model.safetensors"), CARD_SHA: file_hash(files / "card.json")}
    known |= {"data.training": training.hash(), "data.test": test.hash(), "data.split": file_hash(paths.ASSIGNMENT)}
    known = {key: value for key, value in (known | tags).items() if value is not None}
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    return str(client.create_model_version(NAME, folder.as_uri(), tags=known).version)


def everything() -> dict[str, Any]:
    """All that a decision could change."""
    found = store.client().search_model_versions(f"name = '{NAME}'")
    runs = store.client().search_runs([store.connect().experiment])
    return {
        "aliases": aliases(),
        "tags": {str(version.version): version.tags for version in found},
        "files": sorted(path.name for path in Path("models").rglob("*")),
        "runs": len(runs),
        "models": sorted(model.name for model in store.client().search_registered_models()),
    }


def test_the_first_version_becomes_champion_and_the_next_better_one_takes_over(project: Path, params: Params) -> None:
    add(0.9)
    first = promote(params, why="the first")
    assert first.accepted and (first.before, first.after) == (None, "1")
    assert "no champion yet" in {gate.value for gate in first.gates}
    assert aliases() == {"champion": "1"}
    add(0.95)
    second = promote(params, "2", "better")
    assert second.accepted
    assert aliases() == {"champion": "2", "previous": "1"}
    assert (second.who, second.why) == ("Ada", "better")
    assert 0.9 < second.scores["test.macro_f1"] < 1
    assert [model.name for model in store.client().search_registered_models()] == [NAME]  # no claim is left


def test_a_decision_is_kept_as_file_tag_and_run(project: Path, params: Params) -> None:
    add(0.9)
    decision = promote(params, why="the first")
    (path,) = (project / "models" / "registry").iterdir()
    content = read_json(path)
    assert content == json.loads(json.dumps(decision.as_json()))
    assert (content["version"], content["before"], content["after"], content["accepted"]) == ("1", None, "1", True)
    assert {gate["name"] for gate in content["gates"]} >= {"macro F1", "recall of A2C", "calibration error"}
    version = store.client().get_model_version(NAME, "1")
    assert json.loads(version.tags[f"decision.{decision.key}"]) == content
    assert version.tags["promotion"] == "promote accepted"
    assert version.tags["promotion.champion"] == "none -> 1"
    (run,) = store.client().search_runs([store.connect().experiment])
    assert (run.info.status, run.data.tags["echosynth.run_type"]) == ("FINISHED", "promotion")
    assert [file.path for file in store.client().list_artifacts(run.info.run_id)] == ["decision.json"]
    assert run.data.metrics["test.macro_f1"] == pytest.approx(decision.scores["test.macro_f1"])


def test_no_patient_is_named_in_what_is_kept(project: Path, params: Params) -> None:
    add(0.9)
    promote(params, why="a test")
    kept = json.dumps(everything()) + "".join(path.read_text() for path in Path("models/registry").iterdir())
    ids = read_split([SOURCE], "test")
    assert not [name for name in (*ids.ids, *(f'"{group}"' for group in ids.groups)) if name in kept]


def test_a_worse_version_is_refused_with_the_gate_named_and_that_is_kept(project: Path, params: Params) -> None:
    add(0.97)
    promote(params, why="a test")
    add(0.85)  # above the floors, and much worse
    decision = promote(params, why="it is smaller")
    assert not decision.accepted
    assert decision.failed == ["macro AUPRC against the champion", "macro F1 against the champion"]
    assert aliases() == {"champion": "1"}
    assert store.client().get_model_version(NAME, "2").tags["promotion"].startswith("promote refused by macro AUPRC")
    assert len(list(Path("models/registry").iterdir())) == 2


def test_a_version_below_the_floors_is_refused_without_a_champion_too(project: Path, params: Params) -> None:
    add(0.5)
    decision = promote(params, why="a test")
    assert {"macro F1", *(f"recall of {view}" for view in VIEWS)} <= set(decision.failed)
    assert aliases() == {}


def test_a_dry_run_changes_nothing(project: Path, params: Params) -> None:
    add(0.9)
    before = everything()
    decision = promote(params, dry_run=True)
    assert decision.accepted
    assert everything() == before


def test_a_patient_on_both_sides_is_found(project: Path, params: Params) -> None:
    write_project(shared=True)
    add(0.95)
    decision = promote(params, why="a test")
    assert decision.failed == ["patients in training and test"]


def test_synthetic_images_need_an_audit_of_themselves(project: Path, params: Params) -> None:
    add(0.95, synthetic=100, **{"data.synthetic": "a" * 32})
    assert promote(params, dry_run=True).failed == ["near copies among synthetic images"]
    report = paths.FIDELITY / "all" / "metrics.json"
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


def test_rollback_exchanges_the_two_and_can_be_taken_back(project: Path, params: Params) -> None:
    for skill in (0.9, 0.95):
        add(skill)
        promote(params, why="a test")
    back = rollback("it fails on clinic B")
    assert (back.before, back.after) == ("2", "1")
    assert aliases() == {"champion": "1", "previous": "2"}
    rollback("it was the clinic's fault")
    assert aliases() == {"champion": "2", "previous": "1"}
    found = decisions.history()
    assert [(one["action"], one["version"], one["why"]) for one in found["decisions"]] == [
        ("promote", "1", "a test"),
        ("promote", "2", "a test"),
        ("rollback", "1", "it fails on clinic B"),
        ("rollback", "2", "it was the clinic's fault"),
    ]
    assert [(version["version"], version["aliases"]) for version in found["versions"]] == [
        ("2", ["champion"]),
        ("1", ["previous"]),
    ]
    assert set(found["versions"][0]["scores"]) == set(decisions.SHOWN)


def test_a_reason_is_one_line(project: Path, params: Params) -> None:
    add(0.9)
    assert promote(params, why=" better\n on clinic B ").why == "better on clinic B"


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "{}", "[1]"])
def test_a_damaged_file_of_a_decision_is_named(project: Path, params: Params, text: str) -> None:
    add(0.9)
    promote(params, why="a test")
    (path,) = Path("models/registry").iterdir()
    path.write_text(text)
    with pytest.raises(EchosynthError, match=rf"{path.name} holds no decision .* bring it back with `git checkout"):
        decisions.history()


def test_history_outlives_the_store_and_the_files(project: Path, params: Params) -> None:
    add(0.9)
    add(0.95)
    promote(params, "1", "a test")
    promote(params, "2", "a test")
    (path, _) = sorted(Path("models/registry").iterdir())
    path.unlink()  # a colleague's clone of an earlier commit
    store.client().delete_model_version(NAME, "2")
    assert [one["version"] for one in decisions.history()["decisions"]] == ["1", "2"]


def promoted(params: Params) -> Callable[[], object]:
    """A promotion to come."""
    return lambda: promote(params, why="a test")


def refused(words: str, call: Callable[[], object]) -> None:
    """The call is refused in one sentence with these words and changes nothing."""
    before = everything()
    with pytest.raises(EchosynthError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert everything() == before


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


def test_no_champion_to_go_back_from(project: Path) -> None:
    add(0.9)
    refused("there is no champion", lambda: rollback("why not"))


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


def test_the_champion_may_not_change_under_a_decision(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    for skill in (0.9, 0.95, 0.97):
        add(skill)
    promote(params, "1", "a test")
    judge = examine.judge

    def slow(*arguments: Any) -> Any:
        found = judge(*arguments)
        store.client().set_registered_model_alias(NAME, "champion", "2")  # by hand, which no claim can prevent
        return found

    monkeypatch.setattr(examine, "judge", slow)
    kept = {path.name for path in Path("models/registry").iterdir()}
    with pytest.raises(EchosynthError, match=r"changed from 1 to 2 while version 3 was compared .* nothing is changed"):
        promote(params, "3", "a test")
    assert aliases() == {"champion": "2"}
    assert {path.name for path in Path("models/registry").iterdir()} == kept
    assert not [key for key in store.client().get_model_version(NAME, "3").tags if key.startswith("decision")]
    failed = store.client().search_runs([store.connect().experiment])[0]
    assert failed.info.status == "FAILED"


class Failing:
    """The store's client, whose calls about one alias fail; so do, if `silent`, all questions about aliases then."""

    def __init__(self, alias: str, silent: bool = False) -> None:
        self.inner, self.alias, self.silent, self.failed = store.client(), alias, silent, False

    def __getattr__(self, name: str) -> Any:
        if name == "set_registered_model_alias":
            return self.point
        if name == "get_registered_model" and self.failed and self.silent:
            raise MlflowException("no answer")
        return getattr(self.inner, name)

    def point(self, name: str, alias: str, version: str) -> None:
        if alias == self.alias:
            self.failed = True
            raise MlflowException("no answer")
        self.inner.set_registered_model_alias(name, alias, version)


@pytest.mark.parametrize("former", ["1", None])
def test_a_promotion_that_fails_between_its_aliases_leaves_both_as_they_were(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch, former: str | None
) -> None:
    for skill in (0.9, 0.95, 0.97):
        add(skill)
    if former:
        promote(params, former, "a test")
    promote(params, "2", "a test")
    before, files = aliases(), sorted(Path("models/registry").iterdir())
    with monkeypatch.context() as patch:
        client = Failing("champion")
        patch.setattr(store, "client", lambda: client)
        with pytest.raises(EchosynthError, match="no answer"):
            promote(params, "3", "a test")
        assert client.failed
    assert aliases() == before
    assert sorted(Path("models/registry").iterdir()) == files
    assert promote(params, "3", "a test").accepted


def test_a_rollback_that_fails_between_its_aliases_has_gone_back(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    for skill in (0.9, 0.95):
        add(skill)
        promote(params, why="a test")
    with monkeypatch.context() as patch:
        client = Failing("previous")
        patch.setattr(store, "client", lambda: client)
        with pytest.raises(EchosynthError, match="no answer"):
            rollback("it fails on clinic B")
    assert aliases()["champion"] == "1"
    assert decisions.history()["decisions"][-1]["why"] == "it fails on clinic B"


def test_a_decision_is_withdrawn_where_nobody_says_who_is_champion(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(0.9)
    with monkeypatch.context() as patch:
        client = Failing("champion", silent=True)
        patch.setattr(store, "client", lambda: client)
        with pytest.raises(EchosynthError, match="no answer"):
            promote(params, why="a test")
    assert not list(Path("models/registry").iterdir())
    assert not [key for key in store.client().get_model_version(NAME, "1").tags if key.startswith("decision")]


def test_who_decides_where_the_account_has_no_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    assert decisions.who() == "Ada"
    (project / "gitconfig").write_text("")
    monkeypatch.setattr(decisions.getpass, "getuser", nameless)
    assert decisions.who() == f"user {os.getuid()}"


def test_where_there_is_no_registry_none_is_made(bare: Path) -> None:
    with pytest.raises(EchosynthError, match="there is no model registry"):
        unlock()
    assert not (bare / "mlflow.db").exists()


def test_versions_are_compared_on_the_same_images(project: Path, params: Params) -> None:
    add(0.95)
    add(0.8, **{"data.split": "f" * 32})
    found = compare_models("1", "2", params)
    assert found["versions"] == ["1", "2"]
    assert (found["images"], found["patients"]) == (TESTED, TESTED // 2)
    one, two = found["scores"]["test.macro_f1"]
    difference = found["differences"]["macro_f1"]
    assert difference["value"] == pytest.approx(one - two)
    assert 0 < difference["interval"][0] < difference["value"] < difference["interval"][1]
    assert len(found["notes"]) == 1 and found["notes"][0].startswith("version 2 comes from another split")
    with pytest.raises(EchosynthError, match="holds no 7"):
        compare_models("1", "7", params)


def test_a_claim_of_another_machine_is_named_and_can_be_removed(project: Path, params: Params) -> None:
    add(0.9)
    store.client().create_registered_model(CLAIM, {"by": "Bob on the moon, process 1, 2026-11-22", "token": "other"})
    refused(r"holds the registry \(Bob on the moon.* after `echosynth promote --unlock`", promoted(params))
    assert unlock() == "Bob on the moon, process 1, 2026-11-22"
    assert unlock() is None
    assert promote(params, why="a test").accepted


PROMOTER = """
import sys, time
from pathlib import Path
from echosynth.cli import main
from echosynth.config import load_params
from echosynth.measure.gates import Gate
from echosynth.track import examine
here, number = Path(sys.argv[1]), sys.argv[2]

def judge(version, champion, params):
    (here / f"judging-{number}").touch()
    while not (here / "go").exists():
        time.sleep(0.02)
    return [Gate("all", "any", "any", True)], {}, []

examine.judge = judge
sys.exit(main(["promote", number, "--reason", "a test"]))
"""


class Two:
    """Promotions as processes, each of which waits in the middle until it is told to go on."""

    def __init__(self, project: Path) -> None:
        self.project, self.store = project, f"sqlite:///{project / 'mlflow.db'}"
        root = Path(__file__).parents[2]
        shutil.copy(root / "params.yaml", project / "params.yaml")
        (project / "promoter.py").write_text(PROMOTER)

    def start(self, number: str, workspace: Path) -> "subprocess.Popen[str]":
        workspace.mkdir(exist_ok=True)
        environment = {**os.environ, "DVC_ROOT": str(workspace), "MLFLOW_TRACKING_URI": self.store}
        words = [sys.executable, "promoter.py", str(self.project), number]
        return subprocess.Popen(
            words, cwd=self.project, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def judging(self) -> list[str]:
        return [path.name.removeprefix("judging-") for path in self.project.glob("judging-*")]


def wait(*processes: "subprocess.Popen[str]", until: Callable[[], bool]) -> None:
    """Wait until something is true or all processes have ended."""
    while not until() and any(process.poll() is None for process in processes):
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["one workspace", "two workspaces"])
def test_two_promotions_at_once_cannot_both_win(project: Path, where: str) -> None:
    for skill in (0.9, 0.95):
        add(skill)
    two = Two(project)
    folders = [project / "a", project / ("a" if where == "one workspace" else "b")]
    processes = [two.start(number, folder) for number, folder in zip("12", folders, strict=True)]
    # One of them waits in the middle for a sign that comes when the other has given up.
    wait(
        *processes,
        until=lambda: len(two.judging()) == 2 or any(process.poll() is not None for process in processes),
    )
    (project / "go").touch()
    printed = [process.communicate()[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1], printed
    winner = str(codes.index(0) + 1)
    assert two.judging() == [winner]
    assert aliases() == {"champion": winner}
    words = (
        "is running on this machine" if where == "one workspace" else "another promotion or rollback holds the regis"
    )
    assert words in printed[codes.index(1)]
    assert [model.name for model in store.client().search_registered_models()] == [NAME]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_promotion_changes_nothing_and_can_be_cleared(project: Path, params: Params, how: int) -> None:
    add(0.9)
    two = Two(project)
    process = two.start("1", project)
    wait(process, until=lambda: bool(two.judging()))
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0
    assert aliases() == {}
    if how == signal.SIGKILL:
        with pytest.raises(EchosynthError, match="promote --unlock"):
            promote(params, why="a test")
        assert unlock() is not None
    assert promote(params, why="a test").accepted


def test_a_decision_stands_where_the_claim_cannot_be_removed(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(0.9)

    def silent() -> None:
        raise EchosynthError("MLflow does not answer; try again")

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "_claim", silent)
        assert promote(params, why="a test").accepted
    words = "the claim on the registry stays: MLflow does not answer; `echosynth promote --unlock` removes it\n"
    assert capsys.readouterr().err == words
    assert aliases() == {"champion": "1"} and unlock() is not None


def test_a_decision_stands_without_its_summary(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(0.9)

    def silent(decision: object) -> None:
        raise EchosynthError("MLflow does not answer; try again")

    monkeypatch.setattr(promotion, "summarise", silent)
    assert promote(params, why="a test").accepted
    words = "the decision stands, but not all of its tags are written: MLflow does not answer; try again\n"
    assert capsys.readouterr().err == words
    assert aliases() == {"champion": "1"} and decisions.history()["decisions"][0]["accepted"]


def test_the_claim_of_another_is_not_taken_away_at_the_end(project: Path) -> None:
    with promotion.alone():
        unlock()
        store.client().create_registered_model(CLAIM, {"by": "Bob", "token": "other"})
    assert unlock() == "Bob"
