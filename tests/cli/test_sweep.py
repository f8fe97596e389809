"""`echosynth sweep` before anything runs; with DVC itself in tests/pipeline/test_sweep.py."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from echosynth import cli
from echosynth.cli.sweep import show, show_failed
from echosynth.experiments import queue, sweep

ROOT = Path(__file__).parents[2]
GRID = "parameters: {classifier.steps: [10, 20]}\n"


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A grid of two experiments in a project that has run none; DVC is not asked."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(queue, "origin", lambda: "here")
    monkeypatch.setattr(queue, "finished", frozenset)
    monkeypatch.setattr(queue, "scores", lambda name: {})
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path / "grid.yaml"


def test_a_dry_run_lists_the_experiments_and_runs_none(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("echosynth.experiments.sweep.execute", forbidden)
    assert cli.main(["sweep", "grid.yaml", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert re.findall(r"^to be run\s+(steps-\d+)-\w{8}$", out, re.MULTILINE) == ["steps-10", "steps-20"]
    assert "grid.yaml: 2 experiments, 0 of them with a result" in err


def test_the_ranking_goes_to_stdout_and_failures_to_stderr_with_status_1(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(experiments: Sequence[queue.Experiment], count: int, *, score: str) -> dict[str, sweep.Failure]:
        assert (count, score) == (2, "best.validation_macro_auprc")
        return {experiments[0].name: sweep.Failure("failed twice", ["error: the loss is nan"])}

    monkeypatch.setattr("echosynth.experiments.sweep.execute", execute)
    monkeypatch.setattr(queue, "scores", lambda name: {"best.validation_macro_auprc": 0.75})
    assert cli.main(["sweep", "grid.yaml", "--workers", "2"]) == 1
    out, err = capsys.readouterr()
    assert "0.7500" in out and "steps-20" in out and "steps-10" not in out
    assert "dvc exp apply steps-20" in out
    assert re.search(r"^steps-10-\w{8} failed twice:\n    error: the loss is nan\n", err, re.MULTILINE)
    assert "error: 1 experiment without a result" in err


def test_what_never_began_is_not_said_to_have_failed(capsys: pytest.CaptureFixture[str]) -> None:
    show_failed({"a": sweep.Failure("has no result: its worker is gone", []), "b": sweep.Failure("failed", ["nan"])})
    said = capsys.readouterr().err
    assert said.splitlines()[1:] == [
        "a has no result: its worker is gone",
        "",
        "b failed:",
        "    nan",
        "",
        "error: 2 experiments without a result; call again to try again",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.yaml"], "none.yaml is missing"),
        (["grid.yaml", "--workers", "0"], "--workers is 0; give 1 or more"),
    ],
)
def test_refusals(grid: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str) -> None:
    assert cli.main(["sweep", *words]) == 1
    assert sentence in capsys.readouterr().err


def test_outside_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", "grid.yaml"]) == 1
    assert "no DVC project" in capsys.readouterr().err


def test_a_very_large_grid_says_so_before_it_starts(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid.write_text(f"parameters: {{classifier.seeds: {[[number] for number in range(501)]}}}")
    assert cli.main(["sweep", "grid.yaml", "--dry-run"]) == 0
    assert "more than 500 times the pipeline" in capsys.readouterr().err


def test_ctrl_c_is_one_sentence(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "execute", interrupted)
    assert cli.main(["sweep", "grid.yaml"]) == 1
    assert capsys.readouterr().err.endswith("error: stopped; call the same command again to go on\n")


def test_nothing_to_show_is_shown_as_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show([], None)  # type: ignore[arg-type]
    show_failed({})
    assert capsys.readouterr() == ("", "")
