"""Commands whose output goes to a disk that is full: a real one, of a few kilobytes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.tracking.results import Repository

from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.diffusion.model import DiffusionCard, save
from echosynth.diffusion.network import ViewDenoiser

pytestmark = pytest.mark.slow
# Mounted in a namespace of its own, which needs no rights and goes with its process.
MOUNT = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=256k none disk && "$@"')
COMMANDS = """
import json, os, sys
from pathlib import Path

from echosynth import cli

room, commands = json.loads(sys.argv[1])
for words in commands:
    disk = os.statvfs("disk")
    Path("disk/full").write_bytes(bytes(disk.f_bavail * disk.f_bsize - room))
    status = cli.main(words)
    Path("disk/full").unlink()
    print("status", status, *sorted(os.listdir("disk")), file=sys.stderr, flush=True)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a git repository with a result, in which a folder can be a small disk."""
    monkeypatch.chdir(tmp_path)
    Repository().result()
    shutil.copy(Path(__file__).parents[2] / "params.yaml", "params.yaml")
    (tmp_path / "disk").mkdir()
    if not shutil.which("unshare") or subprocess.run([*MOUNT, "sh", "true"], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    return tmp_path


@pytest.fixture
def model(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained diffusion model."""
    changes = {"channels": [16, 32], "attention": [4], "timesteps": 50, "preconditioning": "none", "loss": "simple"}
    card = DiffusionCard(
        sources=("tmed2",),
        size=16,
        diffusion=params.diffusion.model_copy(update=changes),
        training_images={view: {"tmed2": 1} for view in VIEWS},
        training_hash="0" * 16,
        step=10,
        ema_decay=0.9,
        kernel=None,
    )
    folder = tmp_path_factory.mktemp("diffusion")
    with torch.random.fork_rng():
        save(folder, ViewDenoiser(card.diffusion, 16, 1).state_dict(), card)
    return folder


@pytest.mark.parametrize("room", [8192])
def test_a_full_disk_is_the_same_sentence_everywhere_and_leaves_nothing_half_written(
    repository: Path,
    model: Path,
    classifier_folder: Path,
    write_png: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
    room: int,
) -> None:
    stills = tmp_path_factory.mktemp("stills")
    for number in range(40):
        write_png(stills / f"{number}.png", seed=number)
    store = f"sqlite:///{repository}/disk/mlflow.db"
    commands = {
        "disk/set": ["sample", str(model), "--count", "400", "--evaluations", "1"],
        "disk/onnx": ["export", "disk/onnx", "--model", str(classifier_folder)],
        "disk/views.csv": ["predict", str(stills), "--model", str(classifier_folder)],
        store: ["sync"],
    }
    for target in ("disk/set", "disk/views.csv"):
        commands[target] += ["--out", target]
    done = subprocess.run(
        [*MOUNT, "sh", sys.executable, "-c", COMMANDS, json.dumps([room, list(commands.values())])],
        env={**os.environ, "MLFLOW_TRACKING_URI": store},
        capture_output=True,
        text=True,
    )
    said = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "status ", "Traceback"))]
    # Views that were found are kept, so that the same command goes on.
    left = {"disk/views.csv": " views.csv.rows.part", store: " views.csv.rows.part"}
    assert said == [
        line
        for target in commands
        for line in (
            f"error: cannot write {target}: the disk is full; free some room and run again",
            f"status 1{left.get(target, '')}",
        )
    ], done.stderr
