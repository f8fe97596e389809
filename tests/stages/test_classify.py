"""The stage `classify` on sets of a few pictures: alone and side by side, when a training fails or is killed, and that
what was finished stays."""

import errno
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import yaml
from mlflow.entities import Run
from tests.killing import DEADLINE, wait_dead

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import workspace
from echosynth.common.launch import PROCESSES
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params, load_params
from echosynth.imagesets.store import write_image_set
from echosynth.stages import classify
from echosynth.tracking import rows, store
from echosynth.tracking.processes import PROCESS

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
def recorded(
    tmp_path: Path, migrated: Path, narrow: None, monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params]
) -> Recorded:
    """A project with sixteen pictures of sixteen patients, a half each for training and validation, and a store, in
    which a stage that fails makes a row."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(migrated, workspace() / "mlflow.db")
    monkeypatch.setenv(PROCESSES, "1")  # so that what it does is seen here
    settings = {"bootstrap": 20, "seeds": [0, 1, 2], "budget": "steps", "steps": 2, "evaluations": 1, "batch_size": 4}
    write_params(params_with(data={"train_sources": ["tmed2"]}, arms={"real": ["real"]}, classifier=settings))
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
    for plot in ("confusion_png", "precision_recall_png"):  # nobody looks at them here
        monkeypatch.setattr(classify, plot, lambda *_: b"")
    monkeypatch.setattr("sys.argv", ["classify", "real", "60", "resnet18"])
    return recorded


def write_params(params: Params) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))


def change(section: str = "classifier", **settings: Any) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content[section] |= settings
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


def test_too_small_a_set_for_a_share_is_said_before_anything_is_trained(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"synthetic-{number:06d}" for number in range(8)]
    facts: dict[str, Any] = {"id": ids, "source": "synthetic", "view": [*VIEWS] * 2, "group": ids}
    facts |= {"group_kind": "none", "official_split": "", "moment": "", "frame": 0, "frames": 1}
    table = pd.DataFrame(facts | {"width": 32, "height": 32, "synthetic": True})
    write_image_set(paths.synthetic_set("diffusion", "60"), np.zeros((8, 32, 32), np.uint8), table)
    change("arms", synthetic=["synthetic", "mixed-150"])
    monkeypatch.setattr("sys.argv", ["classify", "synthetic", "60", "resnet18"])
    with pytest.raises(SystemExit, match="3 synthetic images of A2C are asked for, and there are 2"):
        classify.main()
    assert recorded.opened == []


def test_only_the_best_seed_keeps_its_weights_where_that_is_asked_for(recorded: Recorded) -> None:
    change("arms", keep_weights="best")
    classify.main()
    found = {f"seed-{seed}": json.loads((CELL / f"real/seed-{seed}/metrics.json").read_text()) for seed in range(3)}
    best = max(found, key=lambda seed: found[seed]["validation"]["macro_auprc"])
    assert [path.parent.name for path in CELL.rglob("*.safetensors")] == [best]
    assert len(files()) == 13  # cards, predictions, curves and scores of all


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


class Silent(Recorded):
    """Runs of which nothing is seen here, as other processes open them."""

    def metrics(self, *_: object, **__: object) -> None: ...


def test_the_bits_depend_neither_on_the_number_of_processes_nor_on_the_threads_of_this_one(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    change("arms", real=["oversampled", "real"])
    change(seeds=[0, 1])
    classify.main()
    alone, threads = files(), torch.get_num_threads()
    assert {Path(name).parent.as_posix() for name in alone} == {
        f"{arm}/seed-{seed}" for arm in ("oversampled", "real") for seed in (0, 1)
    }
    torch.set_num_threads(3 - threads if threads < 3 else 1)
    monkeypatch.setenv(PROCESSES, "2")
    monkeypatch.setattr(classify, "child_run", Silent().child_run)
    classify.main()
    torch.set_num_threads(threads)
    assert files() == alone
    assert len(recorded.ended) == 4 and not states()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_training_that_fails_is_one_sentence_and_keeps_the_finished_ones(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], processes: str
) -> None:
    def failing(params: Params, facts: dict[str, Any], *rest: Any) -> None:
        if facts["seed"] == 2:
            until = time.monotonic() + DEADLINE
            while len(list(workspace().glob(".resume/classify-*/real/seed-?"))) < 2:
                assert time.monotonic() < until
                time.sleep(0.01)
            raise EchosynthError("the classifier's loss is nan at step 1: lower it")
        done(params, facts, *rest)

    done = classify.train_and_score
    monkeypatch.setenv(PROCESSES, processes)
    monkeypatch.setattr(classify, "child_run", Silent().child_run)
    name = "resnet18 real 60 seed 2: " if processes == "2" else ""
    with monkeypatch.context() as patch, pytest.raises(SystemExit, match=f"^error: {name}the classifier's loss is nan"):
        patch.setattr(classify, "train_and_score", failing)
        classify.main()
    assert not CELL.exists()
    classify.main()
    said = capsys.readouterr().err
    assert [f"resnet18 real 60 seed {seed} was trained before" in said for seed in (0, 1, 2)] == [True, True, False]
    assert len(files()) == 15 and not states()


def test_what_is_sent_to_another_process_holds_no_images(recorded: Recorded, params: Params) -> None:
    change(seeds=[0])
    cell = classify.Cell(load_params(), "real", "60", "resnet18")
    before = len(pickle.dumps(cell))
    assert len(cell.subset.images) == len(cell.validation.images) == 8
    assert len(pickle.dumps(cell)) == before


class Project:
    """The stage as a process of its own, in the project of `recorded`."""

    def start(self) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "echosynth.stages.classify", "real", "60", "resnet18"]
        environment = os.environ | {PROCESSES: "2"}
        return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)

    def runs(self) -> list[Run]:
        """The trainings, the latest first."""
        return [run for run in rows.search(store.connect()) if rows.PARENT in run.data.tags]

    def at_work(self, process: subprocess.Popen[str]) -> list[psutil.Process]:
        """The two workers, as soon as each has logged the first numbers of a training."""
        until = time.monotonic() + DEADLINE
        while len([run for run in self.runs() if run.data.metrics.get("training_loss")]) < 2:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.2)
        return psutil.Process(process.pid).children()


@pytest.fixture
def project(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    change(steps=4000, evaluations=4000, seeds=[0, 1], bootstrap=0)
    return Project()


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_stage_with_a_sentence(project: Project) -> None:
    process = project.start()
    first, second = project.at_work(process)
    first.kill()
    _, said = process.communicate(timeout=DEADLINE)
    wait_dead([first, second])
    assert process.returncode == 1
    error = said.splitlines()[-1]
    assert re.fullmatch(r"error: resnet18 real 60 seed \d: its process was killed, .*", error), said
    assert "Traceback" not in said
    (parent,) = {run.data.tags[rows.PARENT] for run in project.runs()}
    row = store.client().get_run(parent)
    assert (row.info.status, row.data.tags["error"]) == ("FAILED", f"classify: {error.removeprefix('error: ')}")
    assert sorted(run.info.status for run in project.runs()) == ["FAILED", "KILLED"]


@pytest.mark.slow
def test_a_stage_that_is_told_to_go_marks_its_runs(project: Project) -> None:
    process = project.start()
    workers = project.at_work(process)
    for each in (process.pid, *(worker.pid for worker in workers)):  # as a scheduler does
        os.kill(each, signal.SIGTERM)
    process.communicate(timeout=DEADLINE)
    wait_dead(workers)
    assert process.returncode == 128 + signal.SIGTERM
    assert [run.info.status for run in project.runs()] == ["KILLED", "KILLED"]
    (parent,) = {run.data.tags[rows.PARENT] for run in project.runs()}
    row = store.client().get_run(parent)
    assert (row.info.status, row.data.tags["error"]) == ("FAILED", "classify: Terminated")
    assert not CELL.exists()


@pytest.mark.slow
def test_trainings_side_by_side_are_runs_below_one_row(project: Project) -> None:
    change(steps=2, evaluations=1)
    process = project.start()
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, said
    names = {f"resnet18 real 60 seed {seed}" for seed in (0, 1)}
    assert {(run.info.run_name, run.info.status) for run in project.runs()} == {(name, "FINISHED") for name in names}
    assert len({run.data.tags[rows.PARENT] for run in project.runs()}) == 1
    drivers = {run.data.tags[PROCESS] for run in rows.search(store.connect()) if rows.PARENT not in run.data.tags}
    assert {json.loads(tag)["pid"] for tag in drivers} == {os.getpid()}  # not the process of the stage
    assert len(files()) == 16
