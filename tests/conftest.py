"""What many tests need: the demo's parameters, small media files written by hand, a stored classifier, a store."""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings
from tests.preloaded import know_the_last_migration, leave_writing_to_the_system, running

from echosynth.common.views import VIEWS
from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import Params, load_params, parse_params
from echosynth.media.probe import MAX_PIXELS, allow_pixels
from echosynth.tracking import store

ROOT = Path(__file__).parents[1]
NUMBERS = count()
# A gate says the same twice about the same code; `pytest --hypothesis-profile=explore` looks for new counterexamples.
# No example may fail because the machine is slow.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, max_examples=1000)
settings.load_profile("gate")

# Tests that share what is dear to make go to one of the workers, and the longest begin first.
TOGETHER = ("tests/pipeline", "tests/teams")
ALONE = "tests/pipeline/test_sweep.py"  # the one file of its folder that does not use the toy project
FIRST = (
    "tests/pipeline/",
    "tests/teams/",
    "tests/experiments/",
    "tests/serving/",
    "tests/diffusion/",
    "tests/tracking/",
    "tests/bench/",
    "tests/cli/",
    "tests/registry/",
)


def place(nodeid: str) -> str:
    """Which tests a worker takes together: those of a file, or of a folder that shares a project or servers."""
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    return folder if folder in TOGETHER and file != ALONE else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the folders that take longest first, so that no worker is left with one of them at the end."""

    def rank(item: pytest.Item) -> tuple[int, bool]:
        number = next((index for index, folder in enumerate(FIRST) if item.nodeid.startswith(folder)), len(FIRST))
        return number, place(item.nodeid) != "tests/pipeline"

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole files, in the order above."""
    from xdist.scheduler import LoadScopeScheduling

    class ByPlace(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return place(nodeid)

    config.option.loadscopereorder = False
    return ByPlace(config, log)


@pytest.fixture(scope="session")
def _workspaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspaces")


@pytest.fixture(autouse=True)
def _workspace(_workspaces: Path) -> Iterator[None]:
    """Keep resumable states and packed pictures out of the project's own folder. They are gone with their test, since
    those of all tests take gigabytes. With a patch of its own: what a test patches has to be whole again before pytest
    removes its `tmp_path`."""
    folder = _workspaces / f"{next(NUMBERS)}"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Give each test the environment back that it found: Dask tells its workers through it to use one thread."""
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


_settled = 0  # how many modules there were when the garbage collector was last told to leave alone what there is


@pytest.fixture(autouse=True)
def _libraries() -> None:
    """What tests imported stays, and need not be looked through for garbage, which takes a tenth of their time."""
    global _settled
    if len(sys.modules) > _settled + 100:
        gc.collect()
        gc.freeze()
        _settled = len(sys.modules)


@pytest.fixture(autouse=True)
def _pixels() -> Iterator[None]:
    """Take back what a test allows this process to read: commands and children set it once."""
    yield
    allow_pixels(MAX_PIXELS)


@pytest.fixture
def params() -> Params:
    """params.yaml as it is."""
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def params_with() -> Callable[..., Params]:
    """params.yaml with changes, for trees of a few files: params_with(ingest={"size": 16})."""

    def changed(**sections: dict[str, Any]) -> Params:
        content = read_yaml(ROOT / "params.yaml")
        content["data"]["max_bad_share"] = 0.2  # of a few files, one is a large share
        for section, values in sections.items():
            content[section] |= values
        return parse_params(content)

    return changed


@pytest.fixture
def write_png() -> Callable[..., Path]:
    """Write a grey PNG of random speckle, or the given picture."""

    def write(path: Path, picture: np.ndarray | None = None, size: tuple[int, int] = (112, 112), seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if picture is None:
            picture = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        return path

    return write


@pytest.fixture
def write_avi() -> Callable[..., Path]:
    """Write an MJPG video of frames of grey level 20 + 10 times the frame's number, with a brighter corner, or of the
    given BGR frames."""

    def write(path: Path, count: int = 8, frames: Sequence[np.ndarray] | None = None, side: int = 112) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if frames is None:
            frames = [np.full((side, side, 3), 20 + 10 * index, np.uint8) for index in range(count)]
            for frame in frames:
                frame[:8, :8] += 40  # a whole block of JPEG, so that the rest stays as it is
        height, width = frames[0].shape[:2]
        video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (width, height))
        for frame in frames:
            video.write(frame)
        video.release()
        return path

    return write


@pytest.fixture
def write_csv() -> Callable[..., Path]:
    """Write lines of text as a table."""

    def write(path: Path, *lines: str, start: str = "", end: str = "\n") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((start + end.join(lines) + end).encode())
        return path

    return write


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in them; to make one takes seconds."""
    from mlflow import MlflowClient

    know_the_last_migration()
    leave_writing_to_the_system()
    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a `python`, `dvc` and `echosynth` that find their libraries imported (see tests/preloaded.py)."""
    with running(tmp_path_factory.mktemp("preloaded")) as folder:
        yield folder


@pytest.fixture(scope="session")
def python(commands: Path) -> Path:
    """A Python that finds MLflow, PyTorch and DVC imported, for tests that start several."""
    return commands / "python"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, which is the workspace too, and no setting of DVC or MLflow but the project's own."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for name, value in (store.SETTINGS | {"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"}).items():
        monkeypatch.setenv(name, value)
    store._lost.clear()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def workspace(bare: Path, migrated: Path) -> Path:
    """A workspace with a fresh store and a small params.yaml."""
    shutil.copy(migrated, bare / "mlflow.db")
    (bare / "params.yaml").write_text("split:\n  seed: 3\n  subsets: [150, all]\nsample:\n  guidance: 1.0\n")
    return bare


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ResNet of few channels in place of ResNet-18, whose 45 MB are drawn, written and hashed for each training, for
    tests of what surrounds a training."""
    from echosynth.classifier import timm_networks

    few = partial(timm_networks._maker("resnet18"), layers=(1, 1, 1, 1), channels=(8, 8, 8, 16))
    monkeypatch.setattr(timm_networks, "_maker", lambda architecture: few)


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained classifier as a training leaves it, which tells any two pictures apart."""
    import torch

    from echosynth.classifier.network import ClassifierCard, build, save

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("resnet18", 32)
        with torch.no_grad():
            # The initial residual branches are zero, so that only a corner of the picture would count.
            for name, weight in network.named_parameters():
                if "bn" in name or "downsample.1" in name:
                    weight.uniform_(0.2, 1.0)
            # A head that tells pictures apart but does not enlarge rounding errors: logits round 0, spread 0.3.
            network.eval()
            pictures = torch.randn(64, 1, 32, 32) * 0.3 + torch.linspace(-1, 1, 64)[:, None, None, None]
            head, logits = network.get_classifier(), network(pictures)
            head.bias.sub_(logits.mean(0))
            for parameter in head.parameters():
                parameter.mul_(0.3 / logits.std(0).mean())
    folder = tmp_path_factory.mktemp("classifier")
    card = ClassifierCard(
        size=32,
        resampling="area-cubic",
        architecture="resnet18",
        arm="mixed",
        subset="150",
        seed=0,
        steps=1,
        training_images=dict.fromkeys(VIEWS, 1),
        synthetic_images=2,
        training_hash="0" * 16,
    )
    save(folder, network, card)
    return folder
