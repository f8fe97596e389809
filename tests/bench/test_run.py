"""The measurements run and say what they measured. How fast is no matter of tests."""

import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bench.run import main

ROOT = Path(__file__).parents[2]
NETWORKS = {
    "classifier training": "images",
    "classifier inference": "images",
}
DATA = {
    ("comparison", "Kolmogorov-Smirnov groups, mostly grey"),
    ("comparison", "Kolmogorov-Smirnov groups, thousands of groups"),
    ("comparison", "first frame of a cine"),
    ("comparison", "chosen frames of a cine"),
    ("comparison", "batches for training"),
    ("rate", "batches for training"),
    ("rate", "reading a set, first time (packing)"),
    ("rate", "ingest echonet-dynamic"),
    ("comparison", "a file in a child process"),
    ("rate", "ingest echonet-lvh"),
    ("rate", "ingest tmed2"),
    ("peak", "ingest tmed2"),
}

Run = dict[str, Any]


def results(run: Run, kind: str) -> list[dict[str, Any]]:
    return [result for result in run["results"] if result["kind"] == kind]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, python: Path) -> tuple[str, Run, Run]:
    """Printed text and JSON of a quick run: data, networks. See test_diffusion.py for the third section."""
    folder = tmp_path_factory.mktemp("results")
    command = [
        python,
        "-m",
        "bench.run",
        "data",
        "networks",
        "--quick",
        "--name",
        "here",
        "--folder",
        str(folder),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["here-data-quick.json", "here-networks-quick.json"]
    data, networks = (json.loads((folder / f"here-{part}-quick.json").read_text()) for part in ("data", "networks"))
    return done.stdout, data, networks


@pytest.fixture(scope="module")
def data(output: tuple[str, Run, Run]) -> Run:
    return output[1]


@pytest.fixture(scope="module")
def networks(output: tuple[str, Run, Run]) -> Run:
    return output[2]


@pytest.mark.slow
def test_everything_is_measured(data: Run, networks: Run) -> None:
    assert data["quick"] is networks["quick"] is True
    assert {result["task"]: result["unit"] for result in networks["results"]} == NETWORKS
    assert {(result["kind"], result["task"]) for result in data["results"]} == DATA


@pytest.mark.slow
def test_rates_follow_from_the_best_time(data: Run, networks: Run) -> None:
    for result in results(networks, "rate") + results(data, "rate"):
        assert result["items"] >= 1
        assert len(result["seconds"]) == 1
        assert result["per_second"] == pytest.approx(result["items"] / min(result["seconds"]), rel=1e-2)


@pytest.mark.slow
def test_both_sides_of_a_comparison_were_timed(data: Run) -> None:
    for result in results(data, "comparison"):
        assert result["times"] == pytest.approx(min(result["other_seconds"]) / min(result["seconds"]), rel=1e-2)
        assert result["target"] in (3, 5, 200) or "child" in result["task"]
        assert ("extrapolated" in result["other"]) == ("Kolmogorov" in result["task"])


@pytest.mark.slow
def test_peaks_are_plausible(data: Run) -> None:
    for result in results(data, "peak"):
        assert result["files"] == 16
        assert result["main_mib"] > 20
        assert result["worker_mib"] > 20


@pytest.mark.slow
def test_both_precisions_are_measured_where_they_differ(networks: Run) -> None:
    expected = ["fp32"] if networks["machine"]["auto_precision"] == "fp32" else ["fp32", "bf16"]
    settings = [result["setting"] for result in networks["results"] if result["task"] == "classifier training"]
    assert [setting.rsplit(", ", 1)[1] for setting in settings] == expected


@pytest.mark.slow
def test_the_table_shows_what_the_json_holds(output: tuple[str, Run, Run]) -> None:
    text, data, networks = output
    rows = text.splitlines()
    for result in results(networks, "rate") + results(data, "rate"):
        row = next(row for row in rows if row.startswith(result["task"]) and f"{result['per_second']:.4g}" in row)
        assert row.endswith(result["setting"])
    for result in results(data, "comparison"):
        assert any(row.startswith(result["task"]) and f"{result['times']:.4g}" in row for row in rows)


@pytest.mark.slow
def test_the_machine_is_described_and_not_named(output: tuple[str, Run, Run]) -> None:
    text, data, networks = output
    machine = data["machine"]
    assert machine == networks["machine"]
    assert set(machine) == {
        "auto_precision", "cores", "cpu", "echosynth", "gpu", "python", "system", "threads", "torch",
    }  # fmt: skip
    assert machine["cores"] >= 1
    assert platform.node() not in [str(value) for value in machine.values()]
    assert machine["cpu"] in text


def test_an_unknown_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["nonsense"])
    assert (
        "there is no section nonsense; choose from data, cines, networks, frozen, diffusion, tracking, pipeline"
        in capsys.readouterr().err
    )
