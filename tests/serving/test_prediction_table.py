"""Tables of views: complete, resumable, the same bytes whatever happened on the way."""

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echosynth import cli
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.serving import prediction_table
from echosynth.serving.clips import Named, listed, predict_clip
from echosynth.serving.prediction_table import COLUMNS, write_table
from echosynth.serving.view_classifier import ViewClassifier


@pytest.fixture(scope="module")
def classifier(classifier_folder: Path) -> ViewClassifier:
    return ViewClassifier(classifier_folder)


@pytest.fixture
def folder(tmp_path: Path, write_png: Callable[..., Path]) -> Path:
    """Six pictures, of which one is torn."""
    for number in range(5):
        write_png(tmp_path / "scans" / f"{number}.png", size=(40, 30), seed=number)
    torn = write_png(tmp_path / "scans" / "torn.png", size=(40, 30))
    torn.write_bytes(torn.read_bytes()[:-30])
    return tmp_path / "scans"


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are predicted, in order; Ctrl-C comes at one that is called `stop`."""
    names: list[str] = []
    real = prediction_table.predicted

    def watched(classifier: ViewClassifier, file: Named, *how: Any) -> dict[str, Any]:
        if file.name in stops:
            raise KeyboardInterrupt
        names.append(file.name)
        return real(classifier, file, *how)

    monkeypatch.setattr(prediction_table, "predicted", watched)
    stops.clear()
    return names


stops: set[str] = set()


def test_a_row_for_each_file(classifier: ViewClassifier, folder: Path, tmp_path: Path) -> None:
    files, _ = listed([folder])
    out = tmp_path / "deep" / "views.csv"
    written = write_table(classifier, "m", files, 8, out)
    assert (written.files, written.errors, written.resumed) == (6, 1, 0)
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert [row["file"] for row in rows] == [*(f"{number}.png" for number in range(5)), "torn.png"]
    for row in rows[:-1]:
        expected = predict_clip(classifier, folder / row["file"], 8)
        assert (row["view"], row["frames"], row["chosen"], row["total"], row["error"]) == (
            expected["view"],
            "1",
            "1",
            "1",
            "",
        )
        found = [float(row[view]) for view in VIEWS]
        np.testing.assert_allclose(found, [expected["probabilities"][view] for view in VIEWS], rtol=0, atol=1e-6)
    assert [rows[-1][name] for name in ("view", "frames", "chosen", "total", *VIEWS)] == [""] * 8
    assert "is torn" in rows[-1]["error"]
    assert list(out.parent.iterdir()) == [out]


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    classifier: ViewClassifier, folder: Path, tmp_path: Path, looked_at: list[str]
) -> None:
    files, _ = listed([folder])
    whole, out = tmp_path / "whole.csv", tmp_path / "views.csv"
    write_table(classifier, "m", files, 8, whole)
    looked_at.clear()
    stops.add("3.png")
    with pytest.raises(KeyboardInterrupt):
        write_table(classifier, "m", files, 8, out)
    assert not out.exists()
    rows = out.with_name("views.csv.rows.part")
    rows.write_bytes(rows.read_bytes() + b'{"of": "half a li')  # a kill in the middle of a line
    stops.clear()
    written = write_table(classifier, "m", files, 8, out)
    assert looked_at == ["0.png", "1.png", "2.png", "3.png", "4.png", "torn.png"]
    assert written.resumed == 3
    assert out.read_bytes() == whole.read_bytes()
    assert not rows.exists()


@pytest.mark.parametrize("change", ["model", "frames", "file", "nothing"])
def test_only_rows_of_the_same_question_are_kept(
    classifier: ViewClassifier,
    folder: Path,
    tmp_path: Path,
    looked_at: list[str],
    write_png: Callable[..., Path],
    change: str,
) -> None:
    files, _ = listed([folder])
    out = tmp_path / "views.csv"
    stops.add("2.png")
    with pytest.raises(KeyboardInterrupt):
        write_table(classifier, "m", files, 8, out)
    stops.clear()
    looked_at.clear()
    if change == "file":
        write_png(folder / "1.png", size=(50, 30), seed=9)
    write_table(classifier, "other" if change == "model" else "m", files, 9 if change == "frames" else 8, out)
    again = {"model": ["0.png", "1.png"], "frames": ["0.png", "1.png"], "file": ["1.png"], "nothing": []}
    assert looked_at == [*again[change], "2.png", "3.png", "4.png", "torn.png"]


def test_what_could_not_be_read_is_tried_again(
    classifier: ViewClassifier, tmp_path: Path, looked_at: list[str], write_png: Callable[..., Path]
) -> None:
    files = [Named(tmp_path / name, name) for name in ("missing.png", "there.png", "last.png")]
    for file in files[1:]:
        write_png(file.path, size=(30, 30))
    out = tmp_path / "views.csv"
    stops.add("last.png")
    with pytest.raises(KeyboardInterrupt):
        write_table(classifier, "m", files, 8, out)
    stops.clear()
    looked_at.clear()
    assert write_table(classifier, "m", files, 8, out).errors == 1
    assert looked_at == ["missing.png", "last.png"]


def test_a_second_run_for_the_same_table_is_refused(classifier: ViewClassifier, folder: Path, tmp_path: Path) -> None:
    files, _ = listed([folder])
    out = tmp_path / "views.csv"
    rows = prediction_table._Rows(out.with_name("views.csv.rows.part"))
    with rows.opened("key"), pytest.raises(EchosynthError, match="another run is writing"):
        write_table(classifier, "m", files, 8, out)
    assert write_table(classifier, "m", files, 8, out).files == 6


def test_a_folder_is_no_table(classifier: ViewClassifier, folder: Path, tmp_path: Path) -> None:
    files, _ = listed([folder])
    with pytest.raises(EchosynthError, match=r"is a folder; name a table such as .*views\.csv"):
        write_table(classifier, "m", files, 8, tmp_path)
    with pytest.raises(EchosynthError, match=r"0\.png is a file; name a table in a folder"):
        write_table(classifier, "m", files, 8, folder / "0.png" / "views.csv")


# Names the views of some files and then waits to be killed.
SLOW = """
import itertools, sys, time
from echosynth import cli
from echosynth.serving import prediction_table
predict, numbers = prediction_table.predicted, itertools.count()
prediction_table.predicted = lambda *args: time.sleep(3600 * (next(numbers) >= 20)) or predict(*args)
cli.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_process_goes_on(
    classifier_folder: Path,
    tmp_path: Path,
    write_png: Callable[..., Path],
    write_avi: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(40):
        write_png(tmp_path / "scans" / f"{number:03d}.png", size=(300, 200), seed=number)
    write_avi(tmp_path / "scans" / "z" / "cine.avi")
    words = ["predict", "scans", "--model", str(classifier_folder), "--out"]
    rows = tmp_path / "views.csv.rows.part"
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *words, "views.csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        while run.poll() is None and (not rows.is_file() or rows.read_bytes().count(b"\n") < 10):
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    kept = rows.read_bytes().count(b'\n{"of"')
    assert 0 < kept < 41
    assert cli.main([*words, "views.csv"]) == 0
    assert f"views.csv: 41 files, 0 with an error, {kept} from an earlier run" in capsys.readouterr().out
    assert not rows.exists()
    assert cli.main([*words, "whole.csv"]) == 0
    assert Path("views.csv").read_bytes() == Path("whole.csv").read_bytes()
