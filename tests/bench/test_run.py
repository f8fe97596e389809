"""The measurements run and say what they measured. How fast is no matter of tests."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RATES = {
    "ingest echonet-dynamic": "videos",
    "ingest tmed2": "images",
    "diffusion training": "images",
    "sampling": "images",
    "classifier training": "images",
    "classifier inference": "images",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Printed text and JSON of a quick run."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "bench.run", "--quick", "--name", "here", "--folder", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["here-quick.json"]
    return done.stdout, json.loads((folder / "here-quick.json").read_text())


def test_everything_is_measured(run: tuple[str, dict[str, Any]]) -> None:
    _, content = run
    assert content["quick"] is True
    assert {result["task"]: result["unit"] for result in content["results"]} == RATES
    for result in content["results"]:
        assert result["items"] >= 1
        assert len(result["seconds"]) == 1
        assert result["per_second"] == pytest.approx(result["items"] / min(result["seconds"]), rel=1e-3)


def test_both_precisions_are_measured_where_they_differ(run: tuple[str, dict[str, Any]]) -> None:
    _, content = run
    expected = ["fp32"] if content["machine"]["auto_precision"] == "fp32" else ["fp32", "bf16"]
    for task in ("diffusion training", "sampling", "classifier training"):
        settings = [result["setting"] for result in content["results"] if result["task"] == task]
        assert [setting.rsplit(", ", 1)[1] for setting in settings] == expected


def test_the_table_shows_what_the_json_holds(run: tuple[str, dict[str, Any]]) -> None:
    text, content = run
    rows = text.splitlines()[-len(content["results"]) :]
    for row, result in zip(rows, content["results"], strict=True):
        assert row.startswith(result["task"])
        assert row.endswith(result["setting"])
        assert f"{result['per_second']:.4g}" in row


def test_the_machine_is_described_and_not_named(run: tuple[str, dict[str, Any]]) -> None:
    text, content = run
    machine = content["machine"]
    assert set(machine) == {
        "auto_precision", "cores", "cpu", "echosynth", "gpu", "python", "system", "threads", "torch",
    }  # fmt: skip
    assert machine["cores"] >= 1
    assert platform.node() not in [str(value) for value in machine.values()]
    assert machine["cpu"] in text
