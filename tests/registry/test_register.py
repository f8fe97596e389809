"""Registering: once for each network, checked, described, and no alias moves."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echosynth.classifier.network import ClassifierCard
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash, read_json, write_json
from echosynth.evaluation.scores import evaluate
from echosynth.registry import register as module
from echosynth.registry.copies import load_registered
from echosynth.registry.register import described, final_scores, register, register_final
from echosynth.registry.versions import NAME, aliases, versions
from echosynth.serving.packaging import predicted
from echosynth.serving.view_classifier import ViewClassifier
from echosynth.tracking import store

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 20, 28), dtype=np.uint8)


def said(folder: Path, frames: list[np.ndarray]) -> np.ndarray:
    """Probabilities of a pretended network, whose only weight is the text in model.safetensors."""
    scale = float((folder / "model.safetensors").read_text())
    logits = np.array([[frame.mean(), frame.std(), frame[0, 0], 0] for frame in frames]) * scale
    exponents = np.exp(logits)
    return (exponents / exponents.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def pretended(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace where a registered model is asked without loading it as a server does, which takes seconds."""

    def ask(uri: str, frames: list[np.ndarray]) -> np.ndarray:
        return said(load_registered(uri.rpartition("/")[2]), frames)

    class Pretended:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def probabilities(self, frames: list[np.ndarray]) -> np.ndarray:
            return said(self.folder, frames)

    monkeypatch.setattr(module, "predicted", ask)
    monkeypatch.setattr(module, "ViewClassifier", Pretended)
    return workspace


def network(folder: Path, scale: float) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_text(str(scale))
    (folder / "card.json").write_text('{"size": 32}\n')
    (folder / "notes.txt").write_text("not for the registry")
    return folder


def scores_of(labels: np.ndarray) -> dict[str, Any]:
    probabilities = np.full((len(labels), 4), 0.1)
    probabilities[np.arange(len(labels)), labels] = 0.7
    return evaluate(probabilities, labels, labels, np.array(["tmed2"] * len(labels))) | {"calibration_error": 0.3}


def test_network_is_registered_once_and_no_alias_moves(pretended: Path) -> None:
    folder = network(pretended / "final", 0.01)
    expected = said(folder, list(FRAMES))
    extra = pretended / "metrics.json"
    extra.write_text("{}")
    evaluations = {"test": scores_of(np.arange(8) % 4)}
    first = register(
        folder, {"f1": 0.8123456}, FRAMES, expected, [extra], data={"test": "abc"}, evaluations=evaluations
    )
    again = register(folder, {"recall": 0.9}, FRAMES, expected, data={"shift": "def"}, description="words")

    assert (first.created, again.created) == (True, False)
    assert (first.version, first.run_id, first.model_sha) == (again.version, again.run_id, again.model_sha)
    (version,) = versions()
    (listed,) = (pretended / "mlartifacts").rglob("manifest.json")
    assert (str(version.version), version.description) == (first.version, "words")
    assert version.tags == {
        "model_sha": file_hash(folder / "model.safetensors"),
        "card_sha": file_hash(folder / "card.json"),
        "package_sha": hashlib.sha256(listed.read_bytes()).hexdigest(),
        "score.recall": "0.9",
        "data.shift": "def",
    }
    assert aliases() == {}
    client = store.client()
    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"f1": 0.8123456}
    assert run.data.tags["echosynth.run_type"] == "registration"
    logged = {file.path for file in client.list_artifacts(first.run_id)}
    assert {"card.json", "metrics.json", "confusion_test.png"} <= logged
    assert sorted(file.name for file in load_registered("1").iterdir()) == ["card.json", "model.safetensors"]


def test_aliases_stay_where_they_are_when_another_network_comes(pretended: Path) -> None:
    runs = set()
    for number, scale in enumerate((0.01, 0.02, 0.03), start=1):
        folder = network(pretended / str(number), scale)
        registered = register(folder, {}, FRAMES, said(folder, list(FRAMES)))
        assert registered.version == str(number)
        runs.add(registered.run_id)
        if number == 1:
            store.client().set_registered_model_alias(NAME, "champion", "1")
    assert aliases() == {"champion": "1"}
    assert len(runs) == 3
    assert (load_registered("3") / "model.safetensors").read_text() == "0.03"


def test_the_same_weights_with_another_card_are_another_version(pretended: Path) -> None:
    folder = network(pretended / "final", 0.01)
    expected = said(folder, list(FRAMES))
    first = register(folder, {}, FRAMES, expected)
    (folder / "card.json").write_text('{"size": 64}\n')
    second = register(folder, {}, FRAMES, expected)
    assert (second.version, second.created) == ("2", True)
    assert second.run_id != first.run_id
    for number, size in (("1", 32), ("2", 64)):  # neither is damaged
        assert read_json(load_registered(number) / "card.json") == {"size": size}
    (folder / "card.json").write_text('{"size": 32}\n')
    assert register(folder, {}, FRAMES, expected).version == "1"


def test_model_that_predicts_something_else_leaves_no_version(pretended: Path) -> None:
    good = network(pretended / "good", 0.01)
    expected = said(good, list(FRAMES))
    register(good, {}, FRAMES, expected)
    bad = network(pretended / "bad", 0.02)
    with pytest.raises(EchosynthError, match=r"version 2 .* predicts something else"):
        register(bad, {}, FRAMES, expected)
    assert [str(version.version) for version in versions()] == ["1"]
    with pytest.raises(EchosynthError, match=r"version 1 .* predicts something else"):
        register(good, {"f1": 0.1}, FRAMES, expected[::-1])
    (kept,) = versions()
    assert "score.f1" not in kept.tags


def test_version_whose_files_are_gone_is_not_taken_for_registered(pretended: Path) -> None:
    folder = network(pretended / "final", 0.01)
    register(folder, {}, FRAMES, said(folder, list(FRAMES)))
    (stored,) = (pretended / "mlartifacts").rglob("model.safetensors")
    stored.unlink()
    with pytest.raises(EchosynthError, match=r"the files of version 1 .* restore them there, or delete the version"):
        register(folder, {}, FRAMES, said(folder, list(FRAMES)))


def test_version_with_edited_code_is_not_taken_for_registered(pretended: Path) -> None:
    folder = network(pretended / "final", 0.01)
    register(folder, {}, FRAMES, said(folder, list(FRAMES)))
    (stored,) = (pretended / "mlartifacts").rglob("artifacts/served_model.py")
    stored.write_text(stored.read_text() + "# edited\n")
    with pytest.raises(EchosynthError, match=r"version 1 .* its file served_model\.py is not the one that was regist"):
        register(folder, {}, FRAMES, said(folder, list(FRAMES)))


def test_wrong_input_is_refused_before_anything_is_written(pretended: Path) -> None:
    folder = network(pretended / "final", 0.01)
    expected = said(folder, list(FRAMES))
    with pytest.raises(EchosynthError, match="two or more grey frames"):
        register(folder, {}, FRAMES[:1], expected[:1])
    with pytest.raises(EchosynthError, match=r"give \(3, 4\)"):
        register(folder, {}, FRAMES, expected[:2])
    (folder / "card.json").unlink()
    with pytest.raises(EchosynthError, match=r"card\.json is missing"):
        register(folder, {}, FRAMES, expected)
    assert not store.client().search_registered_models()


@pytest.fixture
def final(workspace: Path, classifier_folder: Path) -> Path:
    """What stage `final` leaves, of a real network."""
    shutil.copytree(classifier_folder, paths.FINAL)
    result = {"best": {}, "validation": {}, "shift": None, "test": scores_of(np.arange(8) % 4)}
    data = {"training": "t" * 8, "split": "s" * 8, "test": "e" * 8}
    write_json(
        paths.FINAL_SCORES / "metrics.json",
        result | {"model": file_hash(paths.FINAL / "model.safetensors"), "data": data},
    )
    return workspace


def test_scores_that_are_not_the_models_are_refused(final: Path) -> None:
    report = paths.FINAL_SCORES / "metrics.json"
    write_json(report, read_json(report) | {"model": "0" * 32})
    with pytest.raises(EchosynthError, match=r"metrics\.json is not about the model in models/final; run `dvc repro f"):
        register_final()
    report.unlink()
    with pytest.raises(EchosynthError, match=r"metrics\.json is missing"):
        register_final()
    assert not store.client().search_registered_models()


def test_scores_are_named_as_in_the_row_of_an_execution() -> None:
    scores = scores_of(np.array([0, 1, 1, 2]))
    found = final_scores({"test": scores, "shift": None})
    assert found["test.macro_f1"] == scores["macro_f1"]
    assert found["test.calibration_error"] == 0.3
    assert "test.recall_PSAX" not in found and "shift.macro_f1" not in found
    del scores["calibration_error"]
    assert "test.calibration_error" not in final_scores({"test": scores, "shift": None})


def test_description_says_what_it_is_and_what_it_is_not() -> None:
    card = ClassifierCard(
        size=32,
        resampling="area-cubic",
        architecture="resnet18",
        arm="mixed",
        subset="all",
        seed=1,
        steps=160,
        training_images={"A2C": 390, "A4C": 850, "PLAX": 980, "PSAX": 332},
        synthetic_images=1000,
        training_hash="0",
    )
    found = {"test.macro_auprc": 0.927, "test.macro_f1": 0.9027, "test.recall_A2C": 0.6875, "test.loss": 0.2}
    text = described(card, found, {})
    for words in (
        "A2C, A4C, PLAX, PSAX",
        "2,552 images",
        "1,000 of them synthetic",
        "| test | 0.927 | 0.903 | 0.688 |",
    ):
        assert words in text
    assert "**Research software, no medical device.**" in text and "**Limits**" in text
    assert "shift |" not in text
    alone = described(card, {"test.loss": 0.3}, {"absent.test.macro_f1": "images of A4C alone"})
    assert "| test |  |  |" in alone and "No test.macro_f1: the set has images of A4C alone." in alone


@pytest.mark.slow
def test_final_classifier_is_registered_once_and_predicts_the_same(final: Path) -> None:
    registered = register_final()
    (version,) = versions()
    assert version.tags["data.training"] == "t" * 8
    assert "synthetic (arm mixed, subset 150, seed 0)" in version.description
    expected = ViewClassifier(paths.FINAL).probabilities(list(FRAMES))
    found = predicted(f"models:/{NAME}/{registered.version}", list(FRAMES))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert register_final().created is False
