"""The model registry: the final classifier, its versions and aliases."""

import contextlib
import importlib.metadata
import io
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import echosynth
from echosynth.errors import EchosynthError
from echosynth.files import atomic_folder, file_hash, workspace
from echosynth.track import store
from echosynth.track.runs import Run, child_run
from echosynth.views import VIEWS

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME = "echo-view-classifier"
CHALLENGER = "challenger"
FILES = ("model.safetensors", "card.json")
SHA = "model_sha"
REQUIREMENTS = (
    "torch",
    "torchvision",
    "timm",
    "opencv-python-headless",
    "numpy",
    "safetensors",
    "pydantic",
    "pyyaml",
    "pandas",
    "tqdm",
)
TOLERANCE = 1e-5


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry.

    Attributes:
        name: name of the registered model.
        version: its number, as text.
        model_sha: MD5 of model.safetensors.
        run_id: the run that logged it.
        created: False when the registry held this very network before.
    """

    name: str
    version: str
    model_sha: str
    run_id: str
    created: bool


def register(
    model_folder: Path,
    scores: Mapping[str, float],
    example: npt.NDArray[np.uint8],
    expected: npt.NDArray[np.floating[Any]],
    artifacts: Sequence[Path] = (),
    name: str = NAME,
    data: Mapping[str, str] | None = None,
) -> RegisteredVersion:
    """Register a classifier as the challenger, and check that what the registry gives back predicts the same.

    The same network (by the hash of its weights) is registered only once; a second call returns the version there is.

    Args:
        model_folder: holds model.safetensors and card.json.
        scores: name -> number, logged as metrics and written on the version as tags "score.<name>".
        example: (N, H, W) uint8 grey frames, N of 2 or more.
        expected: (N, 4) their probabilities from the network as it stands in `model_folder`.
        artifacts: figures and other files for the run.
        name: name of the registered model.
        data: name -> hash of the data that it was trained and tested on, written on the version as tags "data.<name>".

    Raises:
        EchosynthError: a file of the model is missing, the example is of a wrong shape, the store cannot be used, or
            the registered model predicts something else; the alias then stays where it was, the new version goes.
    """
    _check_example(example, expected)
    for file in FILES:
        if not (model_folder / file).is_file():
            raise EchosynthError(f"{model_folder / file} is missing; run `dvc repro` to make it")
    sha = file_hash(model_folder / FILES[0])
    tags = {f"score.{key}": f"{value:.6g}" for key, value in scores.items()}
    tags |= {f"data.{key}": text for key, text in (data or {}).items()} | {SHA: sha}
    with store.reported(), store.lock("registry"):
        found = _version_of(name, sha)
        if found is None:
            with child_run(f"register {name}", "register", tags={SHA: sha}, late=True) as run:
                run.metrics(scores)
                for path in artifacts:
                    run.artifact(path)
                version = _log_model(run, model_folder, example, name, tags)
                _make_challenger(name, version, example, expected, drop=True)
        else:
            version = found
            for key, text in tags.items():
                store.client().set_model_version_tag(name, version.version, key, text)
            _make_challenger(name, version, example, expected, drop=False)
    return RegisteredVersion(name, str(version.version), sha, str(version.run_id), created=found is None)


def load_registered(alias_or_version: str, name: str = NAME) -> Path:
    """Fetch a registered classifier.

    Args:
        alias_or_version: such as "challenger" or "3".
        name: name of the registered model.

    Returns:
        Local folder with model.safetensors and card.json.

    Raises:
        EchosynthError: there is no such version, its files do not arrive, or the weights are not those registered.
    """
    import mlflow

    store.require_existing()
    client = store.client()
    with store.reported():
        version = _find(name, alias_or_version)
        sha = version.tags.get(SHA, "")
        folder = workspace() / ".resume" / "registry" / f"{name}-{version.version}-{sha[:8]}"
        if not all((folder / file).is_file() for file in FILES) or file_hash(folder / FILES[0]) != sha:
            uri = client.get_model_version_download_uri(name, version.version)
            with atomic_folder(folder) as part, tempfile.TemporaryDirectory() as temporary:
                fetched = Path(mlflow.artifacts.download_artifacts(f"{uri}/artifacts/classifier", dst_path=temporary))
                for file in FILES:
                    (part / file).write_bytes((fetched / file).read_bytes())
                if file_hash(part / FILES[0]) != sha:
                    raise EchosynthError(
                        f"version {version.version} of {name} is damaged in the MLflow store: these are not the "
                        "weights that were registered; delete the version and run "
                        "`dvc repro --force --single-item final`"
                    )
    return folder


def _check_example(example: npt.NDArray[np.uint8], expected: npt.NDArray[np.floating[Any]]) -> None:
    # An example of one frame would hide a model that takes one frame only.
    if example.dtype != np.uint8 or example.ndim != 3 or len(example) < 2:
        raise EchosynthError(
            f"the example for the registry is {example.dtype} {example.shape}; "
            "give two or more grey frames, uint8 (N, H, W)"
        )
    if expected.shape != (len(example), len(VIEWS)):
        raise EchosynthError(
            f"the expected probabilities are of shape {expected.shape}; "
            f"give {(len(example), len(VIEWS))} for this example"
        )


def _version_of(name: str, sha: str) -> "ModelVersion | None":
    """The version with these weights."""
    found = store.client().search_model_versions(f"name = '{name}' and tags.`{SHA}` = '{sha}'")
    return found[0] if found else None


def _find(name: str, alias_or_version: str) -> "ModelVersion":
    from mlflow.exceptions import MlflowException

    client = store.client()
    try:
        if alias_or_version.isdecimal():
            return client.get_model_version(name, alias_or_version)
        return client.get_model_version_by_alias(name, alias_or_version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        versions = [str(version.version) for version in client.search_model_versions(f"name = '{name}'")]
        there = (
            f"versions there: {', '.join(versions)}"
            if versions
            else "none is registered; run `dvc repro --force --single-item final`"
        )
        raise EchosynthError(f"the registry holds no {alias_or_version} of {name} ({there})") from None


def _log_model(
    run: Run, model_folder: Path, example: npt.NDArray[np.uint8], name: str, tags: Mapping[str, str]
) -> "ModelVersion":
    """Log the model in the run and register it, with its tags from the first moment."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(VIEWS)))]),
    )
    with tempfile.TemporaryDirectory() as temporary, _silent():
        folder = Path(temporary) / "classifier"  # only these files, under a name that does not change
        folder.mkdir()
        for file in FILES:
            (folder / file).write_bytes((model_folder / file).read_bytes())
        with mlflow.start_run(run_id=run.id):
            info = mlflow.pyfunc.log_model(
                name="classifier",
                python_model=str(Path(__file__).with_name("served_model.py")),
                artifacts={"classifier": str(folder)},
                code_paths=[str(Path(echosynth.__file__).parent)],
                signature=signature,
                input_example=example,
                pip_requirements=_requirements(),
            )
        return mlflow.register_model(info.model_uri, name, tags=dict(tags))


def _make_challenger(
    name: str, version: "ModelVersion", example: npt.NDArray[np.uint8], expected: npt.NDArray[Any], *, drop: bool
) -> None:
    """Point the alias to `version`, load the model through it, and undo all that when it predicts something else."""
    import mlflow

    client = store.client()
    before = client.get_registered_model(name).aliases.get(CHALLENGER)
    client.set_registered_model_alias(name, CHALLENGER, version.version)
    agrees = False
    try:
        with _silent():
            predicted = mlflow.pyfunc.load_model(f"models:/{name}@{CHALLENGER}").predict(example)
        agrees = predicted.shape == expected.shape and np.allclose(predicted, expected, rtol=0, atol=TOLERANCE)
    finally:
        if not agrees:
            if before is None:
                client.delete_registered_model_alias(name, CHALLENGER)
            else:
                client.set_registered_model_alias(name, CHALLENGER, before)
            if drop:
                client.delete_model_version(name, version.version)
    if not agrees:
        raise EchosynthError(
            f"version {version.version} of {name}, loaded from the registry, predicts something else than the network "
            "that was to be registered; check that the installed packages are those of requirements.txt and try again"
        )


def _requirements() -> list[str]:
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
def _silent() -> Iterator[None]:
    """Keep MLflow's chatter off the terminal; errors are raised, not printed."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
