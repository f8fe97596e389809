"""Trainings of the study: side by side, kept one by one, without clock times in what DVC compares."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import compare
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import cells
from echosynth.thesis.cells import Cell, Outcome, read_cells, run_cells

CELLS = [
    Cell("as it is", "60", "resnet18", 0),
    Cell("as it is", "60", "resnet18", 1),
    Cell("other", "60", "resnet18", 0),
]
DONE: list[Cell] = []
LOGGED: list[dict[str, Any]] = []


def held_out() -> LabelledImages:
    labels = np.arange(12) % 4
    names = np.array([f"tmed2-{number}" for number in range(12)])
    return LabelledImages(np.zeros((12, 8, 8), np.uint8), labels, names, np.full(12, "tmed2"), names)


def foreign() -> LabelledImages:
    return held_out().rows(np.arange(5))


def train(params: Params, cell: Cell) -> Outcome:
    """Right about all views, but for the arm "other", which knows nothing; seed 1 is asked about the shift too."""
    DONE.append(cell)
    if cell.seed == 1 and len(DONE) == 2:
        raise EchosynthError("stopped")
    probabilities = np.eye(4)[held_out().labels] * 0.9 + 0.025 if cell.arm != "other" else np.full((12, 4), 0.25)
    shift = 0.9 - probabilities[:5] if cell.seed == 1 else None
    return Outcome(probabilities, 60, 20, 5, 1.5, {"neighbours": 3}, shift)


class Run:
    """Takes everything."""

    def dataset(self, *_: Any) -> None: ...
    def metrics(self, values: dict[str, Any], speed: dict[str, Any]) -> None:
        LOGGED.append(values | speed)

    def save(self, folder: Path, *files: str, pictures: dict[str, bytes]) -> None:
        for name, coded in pictures.items():
            (folder / name).write_bytes(coded)


@contextmanager
def run(name: str, *_: Any) -> Iterator[Run]:
    yield Run()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    DONE.clear()
    monkeypatch.setattr(cells, "child_run", run)
    monkeypatch.setattr(cells, "code_hash", lambda *_: "")
    (tmp_path / "data/sources").mkdir(parents=True)
    (tmp_path / "data/split").mkdir()
    (tmp_path / "data/split/assignment.csv").write_text("id,split\n")
    for name in ("validation", "subset"):
        monkeypatch.setattr(cells, name, lambda *_: held_out())
    monkeypatch.setattr(cells, "shifted", lambda *_: foreign())
    monkeypatch.setenv("ECHOSYNTH_PROCESSES", "1")
    return tmp_path


def run_all(params: Params) -> None:
    run_cells("trial", "60", params, CELLS, train, [])


def test_finished_trainings_outlive_a_failure_and_give_what_a_comparison_needs(place: Path, params: Params) -> None:
    with pytest.raises(EchosynthError, match="stopped"):
        run_all(params)
    assert not Path("reports/study/trial/60").exists()
    DONE.append(CELLS[2])  # the failure is over
    run_all(params)
    assert DONE.count(CELLS[0]) == 1
    found = read_cells("trial", "60", held_out())
    assert len(found) == 3
    result = compare(found, held_out().labels, held_out().groups, 50, 0)
    means = {cell["arm"]: cell["macro_auprc"] for cell in result["cells"]}
    assert means["as it is"] == 1 and means["other"] < 0.5
    assert result["cells"][0]["real_images"] == 12 and found[0].facts["neighbours"] == 3


def test_clock_times_are_in_no_output(place: Path, params: Params) -> None:
    DONE.extend(CELLS)
    run_all(params)
    files = [file for file in Path("reports").rglob("*") if file.is_file()]
    assert {file.name for file in files} == {"metrics.json", "validation.csv", "shift.csv", "confusion.png"}
    assert not any(b"1.5" in file.read_bytes() for file in files if file.suffix != ".png")
    assert LOGGED[-1]["train_seconds"] == 1.5 and LOGGED[-1]["validation.macro_f1"] < 0.5
    before = {file: file.read_bytes() for file in files}
    run_all(params)
    assert {file: file.read_bytes() for file in files} == before


def test_predictions_of_the_shift_stand_beside_those_of_the_validation_images(place: Path, params: Params) -> None:
    DONE.extend(CELLS)
    run_cells("trial", "60", params, CELLS[1:2], train, [])
    [here], [there] = (read_cells("trial", "60", images, name) for images, name in _both())
    assert here.scores["macro_auprc"] == 1 and there.scores["accuracy"] == 0
    assert there.probabilities.shape == (5, 4) and there.facts == here.facts
    assert {"validation.macro_f1", "shift.accuracy"} <= LOGGED[-1].keys()


def _both() -> list[tuple[LabelledImages, str]]:
    return [(held_out(), "validation"), (foreign(), "shift")]
