"""`echosynth plan` on the demo's parameters: real trials of a second."""

import json
from pathlib import Path

import pytest

from echosynth import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())


def test_hours_disk_and_energy(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--images", "2855", "--seconds", "1", "--watts", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["subsets"] == {"100": 100, "400": 400, "all": 2855}
    assert {job["work"] for job in found["jobs"]} == {
        "diffusion models",
        "synthetic sets",
        "feature network, resnet18",
        "classifiers, resnet18",
    }
    assert all(job["seconds_a_step"] > 0 for job in found["jobs"])
    assert found["kilowatt_hours"] == pytest.approx(found["hours"] / 10)
    (classifiers,) = (job for job in found["jobs"] if job["work"].startswith("classifiers"))
    assert classifiers["disk_bytes"] > 30 * 44_000_000  # a ResNet18 has 11 M weights


def test_in_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert cli.main(["plan", "--images", "2855", "--seconds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["work", "number"]
    assert lines[-1] == "energy: say the power with --watts"


def test_without_a_split_it_asks(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan"]) == 1
    assert "--images" in capsys.readouterr().err
