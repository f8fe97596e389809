"""Classifiers in MLflow's model format."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.paths import STORED
from echosynth.serving import packaging
from echosynth.serving.packaging import log_classifier, predicted, save_classifier
from echosynth.serving.view_classifier import ViewClassifier
from echosynth.tracking import store

NOISE = np.random.default_rng(4).integers(0, 256, (3, 20, 28), dtype=np.uint8)


def new_run() -> str:
    return str(store.client().create_run(store.connect().experiment).info.run_id)


def test_a_logged_model_predicts_the_same(workspace: Path, classifier_folder: Path) -> None:
    path = list(sys.path)
    uri = log_classifier(new_run(), classifier_folder, NOISE).uri
    frames = [NOISE[0], NOISE[1, :11], np.stack([NOISE[0], NOISE[1], NOISE[2]], -1)]
    found = predicted(uri, frames)
    assert (found.dtype, found.shape) == (np.float32, (3, 4))
    np.testing.assert_allclose(found, ViewClassifier(classifier_folder).probabilities(frames), rtol=0, atol=1e-5)
    assert sys.path == path
    assert not store.client().search_registered_models()


def test_nothing_is_printed(workspace: Path, classifier_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    predicted(log_classifier(new_run(), classifier_folder, NOISE).uri, list(NOISE))
    assert capfd.readouterr() == ("", "")


def test_a_model_holds_what_serving_needs_and_no_more(bare: Path, classifier_folder: Path, tmp_path: Path) -> None:
    (bare / "requirements.txt").write_text(
        "# pins\ntorch == 1.2.3  # why\nPyDantic==2.0\nopencv_python_headless==4.5; x\n"
    )
    source = shutil.copytree(classifier_folder, tmp_path / "source")
    (source / "notes.txt").write_text("not for the registry")
    save_classifier(source, tmp_path / "model", NOISE)
    model = tmp_path / "model"
    assert sorted(path.name for path in (model / "artifacts").rglob("*") if path.is_file()) == sorted(STORED)
    assert (model / "code/echosynth/serving/served_requests.py").is_file()
    assert not list(model.rglob("__pycache__")) and not list(model.rglob("*.pkl"))
    wanted = (model / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in wanted)
    assert (pins["torch"], pins["pydantic"], pins["opencv-python-headless"]) == ("1.2.3", "2.0", "4.5")
    assert pins["numpy"] == np.__version__
    assert set(pins) == {"mlflow", *packaging.REQUIREMENTS}
    described = (model / "MLmodel").read_text()
    assert not any(str(path) in described for path in (source, Path(packaging.__file__).parent))


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (NOISE[:1], "give two or more grey frames"),
        (NOISE[0], "give two or more grey frames"),
        (NOISE.astype(np.float32), "is float32"),
    ],
)
def test_an_example_that_proves_nothing_is_refused(
    classifier_folder: Path, tmp_path: Path, example: np.ndarray, words: str
) -> None:
    with pytest.raises(EchosynthError, match=words):
        save_classifier(classifier_folder, tmp_path / "model", example)
    assert not (tmp_path / "model").exists()


def test_a_missing_file_is_named(classifier_folder: Path, tmp_path: Path) -> None:
    source = shutil.copytree(classifier_folder, tmp_path / "source")
    (source / "card.json").unlink()
    with pytest.raises(EchosynthError, match=r"card\.json is missing; run `dvc repro`"):
        save_classifier(source, tmp_path / "model", NOISE)


def test_a_model_that_is_not_there_is_one_sentence(workspace: Path) -> None:
    with pytest.raises(EchosynthError, match="cannot be used"):
        predicted("models:/m-00000000000000000000000000000000", list(NOISE))


IMPORTED_AS = {"opencv-python-headless": "cv2", "pyyaml": "yaml", "simpleitk": "SimpleITK", "python-gdcm": "gdcm"}
ELSEWHERE = """
import ast, base64, json, pathlib, sys
import mlflow
import numpy as np

model = mlflow.pyfunc.load_model("model")
inputs = json.loads(pathlib.Path("inputs.json").read_text())
print(json.dumps([[record[view] for view in ("A2C", "A4C", "PLAX", "PSAX")] for record in model.predict(inputs)]))
import echosynth.media.dicom, echosynth.media.ffmpeg, echosynth.media.volume  # which the child process imports
files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "echosynth"]
assert all(pathlib.Path(file).is_relative_to(pathlib.Path("model").resolve()) for file in files), files
nodes = [node for file in files for node in ast.walk(ast.parse(pathlib.Path(file).read_text()))]
names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
names = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"echosynth"}
print(json.dumps(sorted(names)))
print(json.dumps([name for name in ("dvc", "git") if name in sys.modules]))
"""


@pytest.mark.slow
def test_a_model_works_elsewhere_from_its_own_code(bare: Path, classifier_folder: Path) -> None:
    import base64
    import json

    import cv2

    save_classifier(classifier_folder, bare / "model", NOISE)
    png = base64.b64encode(cv2.imencode(".png", NOISE[1])[1].tobytes()).decode()
    (bare / "inputs.json").write_text(json.dumps([{"image": NOISE[0].tolist()}, {"file": png}]))
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=bare, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    rows, imported, unwanted = map(json.loads, run.stdout.splitlines()[-3:])
    expected = ViewClassifier(classifier_folder).probabilities(list(NOISE[:2]))
    np.testing.assert_allclose(rows, expected, rtol=0, atol=5e-5)
    assert unwanted == []
    assert {"torch", "cv2", "pydicom"} <= set(imported)
    allowed = {IMPORTED_AS.get(package, package) for package in packaging.REQUIREMENTS}
    assert set(imported) <= allowed | {"mlflow", "filelock"}
