"""The classifier in MLflow's model format: logged in a run, and asked as a server would ask it.

A logged model holds the weights with their card, a copy of this package and the pinned packages that serving needs:
neither DVC nor git nor a file of the project is wanted where it is served. `manifest.py` lists all its files, and
`served_model.py` says what it answers.
"""

import contextlib
import importlib.metadata
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import echosynth
from echosynth.common.arrays import Image, Images
from echosynth.common.errors import EchosynthError
from echosynth.common.files import workspace
from echosynth.common.paths import STORED
from echosynth.common.views import VIEWS
from echosynth.serving.manifest import MANIFEST, write_manifest
from echosynth.serving.options import SERVED
from echosynth.tracking import store

ARTIFACT = "classifier"  # folder of both files among a logged model's artifacts
REQUIREMENTS = (
    "torch",
    "torchvision",
    "timm",
    "opencv-python-headless",
    "av",
    "numpy",
    "safetensors",
    "simpleitk",
    "pydicom",
    "python-gdcm",
    "joblib",  # knows how many cores a container gives
    "pydantic",
    "tqdm",
)


@dataclass(frozen=True)
class LoggedClassifier:
    """A classifier in the store.

    Attributes:
        uri: of the logged model, such as models:/m-0123.
        package_sha: SHA-256 of the list of its files, see `echosynth.serving.manifest`.
    """

    uri: str
    package_sha: str


def log_classifier(run_id: str, model_folder: Path, example: Images) -> LoggedClassifier:
    """Log a classifier as a model of a run; nothing is registered.

    Args:
        run_id: of a run in the store.
        model_folder: holds model.safetensors and card.json; its other files are left out.
        example: (N, H, W) uint8 grey frames, N of 2 or more, which are stored with the model: noise, never a patient's.

    Raises:
        EchosynthError: a file of the model is missing, the example is of a wrong shape, or the store cannot be used.
    """
    import mlflow

    with _content(model_folder, example) as content:
        store.connect()
        with store.reported(), silent(), same_path(), mlflow.start_run(run_id=run_id):
            logged = mlflow.pyfunc.log_model(name="classifier", **content)
            # MLflow adds to the files until it has stored them, so that only then they can be listed.
            with tempfile.TemporaryDirectory() as folder:
                package = Path(mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=folder))
                sha = write_manifest(package)
                store.client().log_model_artifact(logged.model_id, str(package / MANIFEST))
    return LoggedClassifier(str(logged.model_uri), sha)


def save_classifier(model_folder: Path, target: Path, example: Images) -> None:
    """Write what `log_classifier` logs into a new folder, which MLflow serves without a store.

    Raises:
        EchosynthError: see `log_classifier`.
    """
    import mlflow

    with _content(model_folder, example) as content, store.reported(), silent(), same_path():
        mlflow.pyfunc.save_model(path=target, **content)
        write_manifest(target)


@contextlib.contextmanager
def _content(model_folder: Path, example: Images) -> Iterator[dict[str, Any]]:
    """What MLflow is to write, from copies that live as long as the block: MLflow keeps the paths that it is given."""
    # An example of one frame would hide a model that takes one frame only.
    if example.dtype != np.uint8 or example.ndim != 3 or len(example) < 2:
        raise EchosynthError(
            f"the example for the registry is {example.dtype} {example.shape}; "
            "give two or more grey frames, uint8 (N, H, W)"
        )
    for file in STORED:
        if not (model_folder / file).is_file():
            raise EchosynthError(f"{model_folder / file} is missing; run `dvc repro` to make it")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / ARTIFACT  # only these files, under a name that does not change
        folder.mkdir()
        for file in STORED:
            (folder / file).write_bytes((model_folder / file).read_bytes())
        yield {
            "python_model": shutil.copy(Path(__file__).with_name("served_model.py"), temporary),
            "artifacts": {ARTIFACT: str(folder)},
            "code_paths": [str(Path(echosynth.__file__).parent)],
            "input_example": [{"image": frame.tolist()} for frame in example],
            "pip_requirements": requirements(),
            "model_config": SERVED.model_dump(),
        }


def predicted(uri: str, frames: Sequence[Image]) -> npt.NDArray[np.float32]:
    """What a logged or registered model says, loaded by MLflow as a server loads it.

    Args:
        uri: such as models:/m-0123 or models:/echo-view-classifier@champion.
        frames: N frames, each (H, W) grey or (H, W, 3) RGB uint8, of any size.

    Returns:
        (N, 4) float32 probabilities in the order of `echosynth.common.views.VIEWS`.

    Raises:
        EchosynthError: the store cannot be used or has no such model, or a file of it was changed since.
    """
    import mlflow

    store.connect()
    with store.reported(), silent(), same_path():
        records = mlflow.pyfunc.load_model(uri).predict([{"image": frame} for frame in frames])
    return np.array([[record[view] for view in VIEWS] for record in records], np.float32)


def requirements() -> list[str]:
    """What a server must install, pinned: as requirements.txt says, else as installed."""
    path = workspace() / "requirements.txt"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    pinned: list[tuple[str, str]] = re.findall(r"^\s*([\w.-]+)\s*==\s*([^\s;#]+)", text, re.MULTILINE)
    pins = {package.lower().replace("_", "-"): version for package, version in pinned}
    # A local part such as +cpu names a build that the package index does not have.
    return [
        f"{name}=={(pins.get(name) or importlib.metadata.version(name)).partition('+')[0]}" for name in REQUIREMENTS
    ]


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep MLflow's chatter off the terminal; errors are raised, not printed."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def same_path() -> Iterator[None]:
    """Take back what loading a model adds to sys.path: its copy of this package, in a folder that may go."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before
