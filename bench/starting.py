"""`echosynth predict` of one cine from a cold start, against an earlier commit: processor time, most of it imports."""

import io
import json
import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from bench.measurements import SEED
from bench.results import Comparison, Missing, compare

ROOT = Path(__file__).parents[1]
TASK = "echosynth predict of one cine from a cold start, processor time"
# The last commit in which `predict` imported all of timm, torchvision, pydicom and SimpleITK.
BEFORE = "84094e6f61006b200cf7347c562a2b8e461e291d"
TARGET = 2.0
FRAMES, HEIGHT, WIDTH = 60, 300, 400
SAME = 1e-6  # probabilities of both commits


def measure_start(model: Path, repeats: int) -> Comparison | Missing:
    """Run the command in a process of its own, today's code and that of `BEFORE` in turns.

    Args:
        model: folder of a stored classifier.
        repeats: runs of each, after one that is not counted.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        packed = subprocess.run(["git", "archive", BEFORE, "src"], cwd=ROOT, capture_output=True, check=False)
        if packed.returncode:
            return Missing(TASK, f"commit {BEFORE[:8]} is not here; run it in a whole clone of the project")
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder / "before", filter="data")
        cine = _cine(folder / "cine.avi")
        ours, others = ROOT / "src", folder / "before" / "src"
        found = [_predicted(source, cine, model)[1] for source in (ours, others)]
        np.testing.assert_allclose(found[0], found[1], rtol=0, atol=SAME)
        setting = f"{FRAMES} frames of {WIDTH} x {HEIGHT} in Motion JPEG, model in a folder; user and system time"
        return compare(
            TASK,
            TARGET,
            lambda: _predicted(ours, cine, model)[0],
            lambda: _predicted(others, cine, model)[0],
            f"commit {BEFORE[:8]}",
            setting,
            repeats,
        )


def _predicted(source: Path, cine: Path, model: Path) -> tuple[float, list[float]]:
    """Processor time of the command with the package in `source`, in seconds, and the probabilities that it printed."""
    before = processor_seconds()
    command = [sys.executable, "-m", "echosynth.cli", "predict", str(cine), "--model", str(model), "--json"]
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(command, env=environment, cwd=cine.parent, capture_output=True, check=True)
    content: dict[str, Any] = json.loads(done.stdout)
    return processor_seconds() - before, list(content["files"][0]["probabilities"].values())


def processor_seconds() -> float:
    """User and system time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cine(path: Path) -> Path:
    """Coarse noise in motion."""
    rng = np.random.default_rng(SEED)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (WIDTH, HEIGHT))
    for _ in range(FRAMES):
        video.write(cv2.resize(rng.integers(0, 256, (HEIGHT // 10, WIDTH // 10, 3), dtype=np.uint8), (WIDTH, HEIGHT)))
    video.release()
    return path
