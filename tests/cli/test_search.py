"""`echosynth search`: what it refuses, and what it prints."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from echosynth import cli
from echosynth.experiments import queue
from echosynth.experiments.ranking import Row

ROOT = Path(__file__).parents[2]
SPACE = "parameters: {classifier.steps: {low: 10, high: 20}}\n"


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A space in a project that has run no trial."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(queue, "origin", lambda: "here")
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path / "space.yaml"


@pytest.mark.parametrize(("score", "status"), [({"best.validation_macro_auprc": 0.75}, 0), ({}, 1)])
def test_the_ranking_and_the_status(
    space: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    score: dict[str, float],
    status: int,
) -> None:
    def search(found: Any, trials: int) -> list[Row]:
        assert (list(found.parameters), trials) == (["classifier.steps"], 3)
        return [Row("steps-12_01234567", {"classifier.steps": 12}, score)]

    monkeypatch.setattr("echosynth.experiments.search.search", search)
    assert cli.main(["search", "space.yaml", "--trials", "3"]) == status
    out, err = capsys.readouterr()
    assert ("No experiment has best.validation_macro_auprc" in err) != bool(score)
    assert "steps-12_01234567" in out
    assert ("0.7500" in out) == ("dvc exp apply" in out) == bool(score)


def test_refusals(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["search", "space.yaml", "--trials", "0"]) == 1
    assert "--trials is 0; give 1 or more" in capsys.readouterr().err
    space.write_text("parameters: {classifier.stepz: [1, 2]}")
    assert cli.main(["search", "space.yaml", "--trials", "1"]) == 1
    assert "classifier.stepz is no parameter of params.yaml; did you mean classifier.steps?" in capsys.readouterr().err
