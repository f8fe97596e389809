"""The list of a package's files, with MLflow's own packages, and what the served model says of changed ones."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.serving.manifest import MANIFEST, PACKAGE_SHA, check_package, write_manifest
from echosynth.serving.packaging import log_classifier, predicted, save_classifier
from echosynth.serving.view_classifier import ViewClassifier
from echosynth.tracking import store

NOISE = np.random.default_rng(6).integers(0, 256, (2, 20, 28), dtype=np.uint8)
WEIGHTS, CARD = "artifacts/classifier/model.safetensors", "artifacts/classifier/card.json"
CODE = "code/echosynth/imagesets/prepare.py"


def flip(path: Path) -> None:
    """Another last bit, as long as before."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def add(path: Path) -> None:
    path.write_text("raise SystemExit('this code ran')\n")


def link(path: Path) -> None:
    path.symlink_to("/")


OTHER, MISSING, ADDED = "is not the one that was registered", "is missing", "was added after it was registered"
CHANGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "weights": (flip, WEIGHTS, OTHER),
    "card": (flip, CARD, OTHER),
    "code": (flip, CODE, OTHER),
    "requirements": (flip, "requirements.txt", OTHER),
    "missing code": (Path.unlink, CODE, MISSING),
    "missing card": (Path.unlink, CARD, MISSING),
    "added code": (add, "code/sitecustomize.py", ADDED),
    "added file": (add, "artifacts/classifier/notes.txt", ADDED),
    "added link": (link, "code/elsewhere", ADDED),
}


@pytest.fixture(scope="module")
def saved(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of its own, for copies."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_classifier(classifier_folder, folder, NOISE)
    return folder


@pytest.fixture
def package(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def refused(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(EchosynthError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_it_lists_every_file_with_its_sha256(package: Path) -> None:
    listed = json.loads((package / MANIFEST).read_text())
    found = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()} - {MANIFEST}
    assert set(listed) == {file for file in found if "__pycache__" not in file}
    assert {WEIGHTS, CARD, CODE, "MLmodel", "served_model.py", "requirements.txt"} <= set(listed)
    for file in (WEIGHTS, CODE):
        assert listed[file] == hashlib.sha256((package / file).read_bytes()).hexdigest()
    sha = hashlib.sha256((package / MANIFEST).read_bytes()).hexdigest()
    assert write_manifest(package) == sha
    check_package(package, "it", sha)


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_package_is_loaded_by_nobody(package: Path, case: str) -> None:
    change, file, words = CHANGES[case]
    change(package / file)
    refused(f"the served model is damaged: its file {file} {words};", lambda: predicted(str(package), list(NOISE)))


@pytest.mark.slow
def test_edited_code_does_not_run_in_a_server_of_its_own(package: Path) -> None:
    load = "import mlflow; mlflow.pyfunc.load_model('model')"
    with (package / CODE).open("a") as code:
        code.write("print('this code ran')\n")
    for words in (f"the served model is damaged: its file {CODE} {OTHER};", None):
        run = subprocess.run(
            [sys.executable, "-c", load],
            cwd=package.parent,
            env={"PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ("this code ran" in run.stdout) == (words is None)
        assert words in run.stderr.splitlines()[-1] if words else run.returncode == 0
        write_manifest(package)  # so that the second time it is what it says


def test_what_mlflow_and_python_write_themselves_changes_nothing(package: Path, classifier_folder: Path) -> None:
    (package / "code/echosynth/__pycache__").mkdir(exist_ok=True)
    (package / "code/echosynth/__pycache__/cli.cpython-311.pyc").write_bytes(b"")
    (package / "registered_model_meta").write_text("model_name: other\nmodel_version: '1'\n")
    expected = ViewClassifier(classifier_folder).probabilities(list(NOISE))
    np.testing.assert_allclose(predicted(str(package), list(NOISE)), expected, rtol=0, atol=1e-5)


def test_a_list_that_was_written_anew_is_noticed_by_its_hash_alone(package: Path) -> None:
    sha = hashlib.sha256((package / MANIFEST).read_bytes()).hexdigest()
    flip(package / CODE)
    write_manifest(package)
    check_package(package, "it")
    refused(f"it is damaged: its file {MANIFEST} {OTHER}", lambda: check_package(package, "it", sha))
    (package / MANIFEST).write_text("[]")
    refused(f"its file {MANIFEST} is no list of files", lambda: check_package(package, "it"))
    (package / MANIFEST).write_bytes(b"\xff{")
    refused(f"its file {MANIFEST} is no list of files", lambda: check_package(package, "it"))
    (package / MANIFEST).unlink()
    refused(f"its file {MANIFEST} is missing", lambda: check_package(package, "it", sha))
    check_package(package, "it")  # as a package from before there were lists


def test_a_served_version_is_checked_against_the_registry(workspace: Path, classifier_folder: Path) -> None:
    import mlflow

    run = store.client().create_run(store.connect().experiment).info.run_id
    logged = log_classifier(run, classifier_folder, NOISE)
    for name, tags in (("listed", {PACKAGE_SHA: logged.package_sha}), ("earlier", {})):
        mlflow.register_model(logged.uri, name, tags=tags)
    expected = ViewClassifier(classifier_folder).probabilities(list(NOISE))
    (stored,) = (path.parent for path in (workspace / "mlartifacts").rglob(MANIFEST))
    for name in ("listed", "earlier", "listed"):
        np.testing.assert_allclose(predicted(f"models:/{name}/1", list(NOISE)), expected, rtol=0, atol=1e-5)
    flip(stored / CODE)
    for name in ("listed", "earlier"):
        refused(f"its file {CODE} {OTHER}", lambda name=name: predicted(f"models:/{name}/1", list(NOISE)))
    write_manifest(stored)  # by somebody who knows of the list, but cannot write the registry
    refused(f"its file {MANIFEST} {OTHER}", lambda: predicted("models:/listed/1", list(NOISE)))
    predicted("models:/earlier/1", list(NOISE))
    (stored / MANIFEST).unlink()
    refused(f"its file {MANIFEST} is missing", lambda: predicted("models:/listed/1", list(NOISE)))
    predicted("models:/earlier/1", list(NOISE))
