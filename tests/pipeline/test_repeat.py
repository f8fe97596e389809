"""The pipeline once more, by force: the same bytes everywhere, so that dvc.lock stays as it is."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_forced_second_run_leaves_the_lock_and_the_status_as_they_were(finished: Path, run: Command) -> None:
    locks = [finished / "dvc.lock", finished / "data/raw/dvc.lock"]
    before = [path.read_bytes() for path in locks]
    printed = run("dvc", "repro", "--force").stdout
    classifiers = "classify-synthetic@60-resnet18"
    for stage in (
        *("data/raw/dvc.yaml:phantom", "ingest@tmed2", "diffusion@60", "fidelity@60"),
        *(classifiers, "final", "report"),
    ):
        assert f"Running stage '{stage}'" in printed
    assert [path.read_bytes() for path in locks] == before
    assert "up to date" in run("dvc", "status", "dvc.yaml").stdout
