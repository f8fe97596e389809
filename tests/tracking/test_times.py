"""Clock times: found by the work that they belong to, and in no output."""

from pathlib import Path

import pytest

from echosynth.tracking import times
from echosynth.tracking.record import Record
from echosynth.tracking.runs import child_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    return tmp_path


def record(folder: Path, steps: int) -> Path:
    folder.mkdir()
    Record("resnet18 real 100 seed 0", "classify", params={"steps": str(steps)}).write(folder)
    return folder / "run.json"


def test_a_time_goes_with_the_record_wherever_it_is_copied(root: Path) -> None:
    first, other = record(root / "a", 160), record(root / "b", 320)
    times.note(first, {"train_seconds": 12.5})
    assert times.noted(first) == {"train_seconds": 12.5}
    assert times.noted(record(root / "copy", 160)) == {"train_seconds": 12.5}
    assert times.noted(other) == {}  # the same name, but other work
    times.note(first, {"train_seconds": 11.0})
    assert times.noted(first) == {"train_seconds": 11.0}


def test_a_run_keeps_final_speeds_apart_from_its_output(root: Path, workspace: Path) -> None:
    output = root / "output"
    output.mkdir()
    with child_run("resnet18 real 100 seed 0", "classify") as run:
        run.metrics({"loss": 0.5}, step=10, speed={"images_per_second": 77.25})
        run.metrics({"images": 100}, speed={"train_seconds": 12.625})
        run.save(output)
    assert times.noted(output / "run.json") == {"train_seconds": 12.625}
    assert [file.name for file in output.rglob("*")] == ["run.json"]
    assert "12.625" not in (output / "run.json").read_text()
    kept = run.place.client.get_run(run.id).data.metrics
    assert kept["train_seconds"] == 12.625 and kept["images_per_second"] == 77.25
