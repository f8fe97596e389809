import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from echosynth.errors import EchosynthError
from echosynth.files import file_hash
from echosynth.track import registry, store
from echosynth.track.registry import NAME, load_registered, register

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 20, 28), dtype=np.uint8)


class StandIn:
    """A classifier with the interface of `ViewClassifier` whose only weight is the text in model.safetensors."""

    def __init__(self, folder: Path | str) -> None:
        self.scale = float((Path(folder) / "model.safetensors").read_text())
        json.loads((Path(folder) / "card.json").read_text())

    def probabilities(self, frames: list[np.ndarray]) -> np.ndarray:
        logits = np.array([[frame.mean(), frame.std(), frame[0, 0], 0] for frame in frames]) * self.scale
        exponents = np.exp(logits)
        return (exponents / exponents.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def stand_in(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace where the served model loads `StandIn`."""
    module = types.ModuleType("echosynth.classify.predict")
    module.ViewClassifier = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "echosynth.classify.predict", module)
    monkeypatch.setattr(sys, "path", list(sys.path))  # loading a model puts its code there
    return workspace


def network(folder: Path, scale: float) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_text(str(scale))
    (folder / "card.json").write_text('{"size": 32}\n')
    (folder / "notes.txt").write_text("not for the registry")
    return folder


def test_network_is_registered_once_as_challenger(stand_in: Path) -> None:
    folder = network(stand_in / "final", 0.01)
    expected = StandIn(folder).probabilities(list(FRAMES))
    figure = stand_in / "confusion.png"
    figure.write_bytes(b"png")
    first = register(folder, {"f1": 0.8123456}, FRAMES, expected, [figure], data={"test": "abc.dir"})
    again = register(folder, {"f1": 0.9}, FRAMES, expected)

    assert (first.created, again.created) == (True, False)
    assert (first.version, first.run_id, first.model_sha) == (again.version, again.run_id, again.model_sha)
    client = store.client()
    (version,) = client.search_model_versions(f"name = '{NAME}'")
    assert str(client.get_model_version_by_alias(NAME, "challenger").version) == first.version == str(version.version)
    weights = file_hash(folder / "model.safetensors")
    assert version.tags == {"model_sha": weights, "score.f1": "0.9", "data.test": "abc.dir"}
    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"f1": 0.8123456}
    assert "confusion.png" in [file.path for file in client.list_artifacts(first.run_id)]


def test_another_network_is_another_version_and_takes_the_alias(stand_in: Path) -> None:
    for number, scale in enumerate((0.01, 0.02), start=1):
        folder = network(stand_in / str(number), scale)
        registered = register(folder, {}, FRAMES, StandIn(folder).probabilities(list(FRAMES)))
        assert registered.version == str(number)
    for which, scale in (("challenger", "0.02"), ("2", "0.02"), ("1", "0.01")):
        fetched = load_registered(which)
        assert sorted(file.name for file in fetched.iterdir()) == ["card.json", "model.safetensors"]
        assert (fetched / "model.safetensors").read_text() == scale


def test_model_that_predicts_something_else_leaves_no_trace(stand_in: Path) -> None:
    good = network(stand_in / "good", 0.01)
    expected = StandIn(good).probabilities(list(FRAMES))
    register(good, {}, FRAMES, expected)
    bad = network(stand_in / "bad", 0.02)
    with pytest.raises(EchosynthError, match="predicts something else"):
        register(bad, {}, FRAMES, expected)
    assert [str(version.version) for version in store.client().search_model_versions(f"name = '{NAME}'")] == ["1"]
    assert str(store.client().get_model_version_by_alias(NAME, "challenger").version) == "1"


def test_server_takes_frames_of_any_size_and_number(stand_in: Path) -> None:
    import mlflow
    from mlflow.pyfunc.scoring_server import init
    from starlette.testclient import TestClient

    folder = network(stand_in / "final", 0.01)
    register(folder, {}, FRAMES, StandIn(folder).probabilities(list(FRAMES)))
    server = TestClient(init(mlflow.pyfunc.load_model(f"models:/{NAME}@challenger")))
    for frames in (FRAMES[:1], np.tile(FRAMES, (2, 1, 3))):
        answer = server.post("/invocations", json={"inputs": frames.tolist()})
        predicted = np.array(answer.json()["predictions"])
        np.testing.assert_allclose(predicted, StandIn(folder).probabilities(list(frames)), rtol=0, atol=1e-6)


def test_damaged_weights_are_not_handed_out(stand_in: Path) -> None:
    folder = network(stand_in / "final", 0.01)
    register(folder, {}, FRAMES, StandIn(folder).probabilities(list(FRAMES)))
    (stored,) = (stand_in / "mlartifacts").rglob("model.safetensors")
    stored.write_text("0.03")
    with pytest.raises(EchosynthError, match="version 1 of echo-view-classifier is damaged"):
        load_registered("challenger")


def test_torn_local_copy_is_fetched_again(stand_in: Path) -> None:
    folder = network(stand_in / "final", 0.01)
    register(folder, {}, FRAMES, StandIn(folder).probabilities(list(FRAMES)))
    (load_registered("challenger") / "model.safetensors").write_text("0.")
    assert (load_registered("challenger") / "model.safetensors").read_text() == "0.01"


@pytest.mark.parametrize("which", ["champion", "7"])
def test_unknown_version_says_what_there_is(stand_in: Path, which: str) -> None:
    with pytest.raises(EchosynthError, match=f"no {which} of {NAME} .none is registered; run `dvc repro"):
        load_registered(which)
    folder = network(stand_in / "final", 0.01)
    register(folder, {}, FRAMES, StandIn(folder).probabilities(list(FRAMES)))
    with pytest.raises(EchosynthError, match=f"no {which} of {NAME} .versions there: 1"):
        load_registered(which)


def test_wrong_input_is_refused_before_anything_is_written(stand_in: Path) -> None:
    folder = network(stand_in / "final", 0.01)
    expected = StandIn(folder).probabilities(list(FRAMES))
    with pytest.raises(EchosynthError, match="two or more grey frames"):
        register(folder, {}, FRAMES[:1], expected[:1])
    with pytest.raises(EchosynthError, match=r"give \(3, 4\)"):
        register(folder, {}, FRAMES, expected[:2])
    (folder / "card.json").unlink()
    with pytest.raises(EchosynthError, match=r"card\.json is missing"):
        register(folder, {}, FRAMES, expected)
    assert not store.client().search_registered_models()


def test_requirements_are_pinned_by_the_project_else_as_installed(bare: Path) -> None:
    (bare / "requirements.txt").write_text(
        "# pins\ntorch == 1.2.3  # why\nPyYAML==6.0\nopencv_python_headless==4.5; x\n"
    )
    pins = dict(line.split("==") for line in registry._requirements())
    assert (pins["torch"], pins["pyyaml"], pins["opencv-python-headless"]) == ("1.2.3", "6.0", "4.5")
    assert pins["numpy"] == np.__version__
    assert tuple(pins) == registry.REQUIREMENTS
    assert not any("+" in version for version in pins.values())


IMPORTED_AS = {"opencv-python-headless": "cv2", "pyyaml": "yaml"}


@pytest.mark.slow
def test_registered_classifier_predicts_the_same_from_its_own_code_in_another_process(workspace: Path) -> None:
    import torch

    from echosynth.classify.network import ClassifierCard, build, save
    from echosynth.classify.predict import ViewClassifier

    torch.manual_seed(0)
    card = ClassifierCard(
        size=32,
        resampling="area-cubic",
        architecture="resnet18",
        arm="mixed",
        subset="all",
        seed=0,
        steps=0,
        training_images={},
        synthetic_images=0,
        training_hash="0",
    )
    folder = workspace / "final"
    folder.mkdir()
    save(folder, build("resnet18", 32), card)
    expected = ViewClassifier(folder).probabilities(list(FRAMES))
    register(folder, {}, FRAMES, expected)
    np.save(workspace / "frames.npy", FRAMES[:1])

    text = (
        "import ast, json, pathlib, sys\n"
        "import numpy as np\n"
        "import mlflow\n"
        f"model = mlflow.pyfunc.load_model('models:/{NAME}@challenger')\n"
        "import echosynth\n"
        "print(echosynth.__file__)\n"
        "np.save('predicted.npy', model.predict(np.load('frames.npy')))\n"
        "files = [module.__file__ for name, module in sys.modules.items() if name.partition('.')[0] == 'echosynth']\n"
        "nodes = [node for file in files for node in ast.parse(pathlib.Path(file).read_text()).body]\n"
        "names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}\n"
        "names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}\n"
        "names = {name.partition('.')[0] for name in names} - sys.stdlib_module_names - {'echosynth'}\n"
        "pathlib.Path('imported.json').write_text(json.dumps(sorted(names)))\n"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.tracking_uri()}
    run = subprocess.run(
        [sys.executable, "-c", text], cwd=workspace, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(str(workspace / "mlartifacts"))
    np.testing.assert_allclose(np.load(workspace / "predicted.npy"), expected[:1], rtol=0, atol=1e-5)
    imported = set(json.loads((workspace / "imported.json").read_text()))
    assert "torch" in imported
    assert imported <= {IMPORTED_AS.get(package, package) for package in registry.REQUIREMENTS}
