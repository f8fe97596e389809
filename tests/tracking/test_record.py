"""What a run leaves in the output of its stage: whole or absent, and the same whenever and wherever it was done."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from echosynth.tracking import rows, store
from echosynth.tracking.logger import RunLogger
from echosynth.tracking.record import RECORD, Record, flat_params
from echosynth.tracking.runs import child_run

KILLED_HALF_WAY = """
import os, signal
from pathlib import Path
from echosynth.common.files import atomic_folder
from echosynth.tracking.record import Record

write = Path.write_text
def half(self, text, **more):
    write(self, text[: len(text) // 2], **more)
    os.kill(os.getpid(), signal.SIGKILL)
Path.write_text = half
WRITE
"""


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record("diffusion 60", "diffusion", {"echosynth.subset": "60"}, flat_params({"a": {"b": [1, "x"]}}))
    record.add({"loss": 0.30000000000000004}, 5)
    record.add({"f1": 1}, 5, final=True)
    record.artifacts = ["curve.csv"]
    record.write(tmp_path)
    assert Record.parse((tmp_path / RECORD).read_bytes()) == record


def test_the_order_in_which_numbers_came_does_not_show(tmp_path: Path) -> None:
    texts = []
    for steps in ((5, 10, 100), (100, 5, 10)):  # the latter of a training that went on
        record = Record("a", "train")
        for step in steps:
            record.add({"loss": 1 / step, "rate": step}, step)
        record.write(tmp_path)
        texts.append((tmp_path / RECORD).read_text())
    assert texts[0] == texts[1]
    assert list(json.loads(texts[0])["metrics"]["loss"]) == ["5", "10", "100"]


def test_a_repeated_step_stays_and_a_final_number_is_replaced() -> None:
    record = Record("a", "train")
    for value in (1.0, 2.0):
        record.add({"loss": value}, 5)
        record.add({"f1": value}, 5, final=True)
    assert record.metrics == {"loss": {5: 1.0}, "f1": {5: 2.0}}


@pytest.mark.parametrize(
    "write",
    [
        "with atomic_folder('output') as part: Record('a', 'train').write(part)",
        "Path('output').mkdir(); Record('a', 'train').write(Path('output'))",
    ],
)
def test_a_process_that_is_killed_in_the_middle_leaves_no_record(tmp_path: Path, write: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_HALF_WAY.replace("WRITE", write)], cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir())  # it had begun
    assert not (tmp_path / "output" / RECORD).exists()


def test_what_a_stage_logs_is_in_the_record_and_what_the_clock_says_is_not(workspace: Path) -> None:
    texts = []
    for attempt in (1, 2):
        folder = workspace / f"output-{attempt}"
        folder.mkdir()
        (folder / "metrics.json").write_text("{}")
        with child_run("a", "train", {"split": {"seed": 3}}, {"arm": "mixed"}, work=f"state {attempt}") as run:
            run.dataset("params", workspace / "params.yaml", "training")
            run.metrics({"loss": 0.5}, 5, speed={"images_per_second": 100.0 * attempt})
            run.metrics({"f1": 0.75}, speed={"train_seconds": 9.0 * attempt})
            run.save(folder, "metrics.json", pictures={"confusion.png": b"\x89PNG"})
        texts.append((folder / RECORD).read_text())
    assert texts[0] == texts[1]
    record = Record.parse(texts[0].encode())
    assert (record.name, record.stage, record.tags, record.params) == (
        "a",
        "train",
        {"arm": "mixed"},
        {"split.seed": "3"},
    )
    assert record.metrics == {"loss": {5: 0.5}, "f1": {5: 0.75}}
    assert record.artifacts == ["confusion.png", "metrics.json"]
    assert [(data.name, data.path, data.context) for data in record.datasets] == [
        ("params", str(workspace / "params.yaml"), "training")
    ]
    live = store.client().get_run(run.id).data.metrics
    assert (live["images_per_second"], live["train_seconds"]) == (200.0, 18.0)
    assert {item.path for item in store.client().list_artifacts(run.id)} == {"confusion.png", "metrics.json"}


def points(run: RunLogger, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in store.client().get_metric_history(run.id, name)]


@pytest.mark.parametrize("in_its_row", [True, False])
def test_a_training_that_went_on_has_its_whole_curve_in_record_and_run(workspace: Path, in_its_row: bool) -> None:
    curve = [{"step": step, "loss": 1 / step} for step in (5, 10, 15)]
    if in_its_row:
        with pytest.raises(ZeroDivisionError), child_run("a", "train", work="state") as run:
            run.metrics({"loss": 1 / 5}, 5)
            1 / 0  # noqa: B018
    with child_run("a", "train", work="state") as run:
        for point in curve[1:]:
            run.metrics({"loss": point["loss"]}, int(point["step"]))
        run.curve(curve)
        run.metrics({"f1": 1.0})
    assert sorted(points(run, "loss")) == [(5, 1 / 5), (10, 1 / 10), (15, 1 / 15)]
    assert run.record.metrics == {"loss": {5: 1 / 5, 10: 1 / 10, 15: 1 / 15}, "f1": {15: 1.0}}
    assert points(run, "f1") == [(15, 1.0)]


def test_a_replayed_record_is_the_run_it_came_from_and_twice_is_once(workspace: Path) -> None:
    folder = workspace / "output"
    folder.mkdir()
    with child_run("a", "train", {"seed": 1}) as live:
        live.dataset("params", workspace / "params.yaml", "training")
        live.metrics({"loss": 0.5}, 5)
        live.metrics({"f1": 0.75})
        live.save(folder, pictures={"confusion.png": b"\x89PNG"})
    record = Record.parse((folder / RECORD).read_bytes())
    (folder / RECORD).unlink()
    place = store.connect()
    made = place.client.create_run(place.experiment, run_name="copy")
    copy = RunLogger(made.info.run_id, "", place)
    for _ in range(2):
        copy.replay(record, folder, 1_700_000_000_000)
    one, other = (place.client.get_run(run.id) for run in (live, copy))
    assert one.data.params == other.data.params
    assert one.inputs.to_dictionary() == other.inputs.to_dictionary()
    for name in ("loss", "f1"):
        assert points(live, name) == points(copy, name)
    assert [item.path for item in place.client.list_artifacts(copy.id)] == ["confusion.png"]
    assert len(rows.search(place, "attributes.run_name = 'copy'")) == 1
