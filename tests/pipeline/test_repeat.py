"""Stages of every kind once more, by force: the same bytes everywhere, so that dvc.lock stays as it is."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]
# One instance of each stage that draws, decodes or trains, and what comes after them.
STAGES = (
    *("data/raw/dvc.yaml:phantom", "screen@echonet-lvh", "ingest@echonet-lvh", "split", "feature-network"),
    *("diffusion@60", "sample@60", "baseline@60", "fidelity@60", "classify-synthetic@60-resnet18"),
    *("compare", "final", "report"),
)


def test_a_forced_second_run_leaves_the_lock_and_the_status_as_they_were(finished: Path, run: Command) -> None:
    locks = [finished / "dvc.lock", finished / "data/raw/dvc.lock"]
    before = [path.read_bytes() for path in locks]
    printed = run("dvc", "repro", "--force", "--single-item", *STAGES).stdout
    assert all(f"Running stage '{stage}'" in printed for stage in STAGES)
    assert [path.read_bytes() for path in locks] == before
    assert "up to date" in run("dvc", "status", "dvc.yaml").stdout
