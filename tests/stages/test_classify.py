"""The stage `classify` on sets of a few pictures: a stage that is killed keeps the seeds that it had finished."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from echosynth.common import paths
from echosynth.common.files import workspace
from echosynth.common.launch import PROCESSES
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.imagesets.store import write_image_set
from echosynth.stages import classify

CELL = paths.cell_folder("real", "60", "resnet18")


class Killed(BaseException):
    """What no stage handles."""


class Recorded:
    """Runs that are opened, by name, each a run that takes everything."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.ended: list[str] = []
        self.kept: list[list[str]] = []  # finished seeds at the end of each run
        self.kill_in = ""

    def child_run(self, name: str, *_: Any) -> "Recorded":
        self.opened.append(name.rpartition(" seed ")[2])
        return self

    def __enter__(self) -> "Recorded":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.kept.append(sorted(path.name for path in workspace().glob(".resume/classify-*/real/seed-?")))
        self.ended += [] if kind else self.opened[-1:]

    def dataset(self, *_: object) -> None: ...
    def save(self, *_: object, **__: object) -> None: ...
    def metrics(self, *_: object, **__: object) -> None:
        if self.opened[-1] == self.kill_in:
            raise Killed


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params]) -> Recorded:
    """A project with sixteen pictures of sixteen patients, a half each for training and validation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PROCESSES, "1")  # so that what it does is seen here
    settings = {"bootstrap": 20, "seeds": [0, 1, 2], "budget": "steps", "steps": 2, "evaluations": 1, "batch_size": 4}
    settings["real_arms"] = ["real"]
    write_params(params_with(data={"train_sources": ["tmed2"]}, classifier=settings))
    ids = [f"tmed2-{number:012x}" for number in range(16)]
    facts: dict[str, Any] = {"id": ids, "source": "tmed2", "view": [*VIEWS] * 4, "group": [f"p{name}" for name in ids]}
    facts |= {"group_kind": "patient", "official_split": "", "moment": "", "frame": 0, "frames": 1}
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32), dtype=np.uint8)
    table = pd.DataFrame(facts | {"width": 640, "height": 480, "synthetic": False})
    write_image_set(paths.SOURCES / "tmed2", images, table)
    paths.subset_file("60").parent.mkdir(parents=True)
    splits = ["train"] * 8 + ["validation"] * 8
    pd.DataFrame({"id": ids, "source": "tmed2", "split": splits}).to_csv(paths.ASSIGNMENT, index=False)
    pd.DataFrame({"id": ids[:8]}).to_csv(paths.subset_file("60"), index=False)
    recorded = Recorded()
    monkeypatch.setattr(classify, "child_run", recorded.child_run)
    monkeypatch.setattr("sys.argv", ["classify", "real", "60", "resnet18"])
    return recorded


def write_params(params: Params) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))


def change(**settings: Any) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["classifier"] |= settings
    Path("params.yaml").write_text(yaml.safe_dump(content))


def files() -> dict[str, bytes]:
    return {path.relative_to(CELL).as_posix(): path.read_bytes() for path in sorted(CELL.rglob("*")) if path.is_file()}


def states() -> list[Path]:
    """Folders of finished seeds that wait for the others."""
    return list(workspace().glob(".resume/classify-*/"))


def killed(recorded: Recorded, seed: int) -> None:
    recorded.kill_in = str(seed)
    with pytest.raises(Killed):
        classify.main()
    recorded.kill_in = ""
    assert not CELL.exists()


def test_a_killed_stage_trains_no_finished_seed_again(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    classify.main()
    assert recorded.opened == recorded.ended == ["0", "1", "2"]
    assert recorded.kept == [[], ["seed-0"], ["seed-0", "seed-1"]]  # a seed that counts as finished has a finished run
    whole = files()
    assert len(whole) == 15 and not states()
    shutil.rmtree(CELL)
    recorded.opened.clear()
    recorded.ended.clear()

    killed(recorded, 1)
    assert (recorded.opened, recorded.ended) == (["0", "1"], ["0"])
    assert len(states()) == 1
    capsys.readouterr()
    classify.main()
    assert recorded.ended == ["0", "1", "2"]
    assert "resnet18 real 60 seed 0 was trained before the stage was stopped" in capsys.readouterr().err
    assert files() == whole
    assert not states()


def test_a_seed_counts_for_the_same_execution_only(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(recorded, 1)
    first = Path("params.yaml").read_text()
    change(learning_rate=0.5)
    killed(recorded, 1)
    assert recorded.ended == ["0", "0"]
    Path("params.yaml").write_text(first)
    monkeypatch.setenv("DVC_EXP_NAME", "another")  # its row has no run of the seed
    killed(recorded, 1)
    assert recorded.ended == ["0", "0", "0"]
    monkeypatch.delenv("DVC_EXP_NAME")
    classify.main()
    assert recorded.ended == ["0", "0", "0", "1", "2"]


def test_other_images_or_patients_are_other_work(recorded: Recorded) -> None:
    killed(recorded, 1)
    table = pd.read_csv(paths.ASSIGNMENT)
    table[table["id"] != table["id"].iloc[-1]].to_csv(paths.ASSIGNMENT, index=False)
    killed(recorded, 1)
    assert recorded.ended == ["0", "0"]
    manifest = paths.SOURCES / "tmed2" / "manifest.csv"
    table = pd.read_csv(manifest)
    table.loc[9, "group"] = table.loc[8, "group"]
    table.to_csv(manifest, index=False)
    killed(recorded, 1)
    assert recorded.ended == ["0", "0", "0"]


def test_a_kill_while_the_state_is_cleared_leaves_no_half_of_a_seed(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = shutil.rmtree

    def half(path: Path, **options: Any) -> None:
        if any(Path(path).glob("*/seed-*")) and Path(path).is_relative_to(workspace()):
            next(Path(path).glob("*/seed-*/*")).unlink()
            raise Killed
        removed(path, **options)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shutil, "rmtree", half)
        classify.main()
    whole = files()
    classify.main()
    assert files() == whole and len(whole) == 15
    assert recorded.ended == ["0", "1", "2"] * 2


def test_a_full_disk_is_one_sentence(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        monkeypatch.context() as patch,
        pytest.raises(SystemExit, match=f"error: cannot write {CELL}: the disk is full"),
    ):
        patch.setattr(shutil, "copyfile", full)
        classify.main()
    assert not CELL.exists()
    classify.main()
    assert recorded.ended == ["0", "1", "2"]
