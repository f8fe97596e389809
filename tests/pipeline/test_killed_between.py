"""`dvc repro`, killed between the end of a stage and the lock in which DVC notes it: the stage runs again, and of one
result there is one finished row."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from mlflow.entities import Run
from tests.pipeline.commands import call, runs

from echosynth.tracking.rows import REPLACED

pytestmark = pytest.mark.slow
# Once the work is done: whoever finds a mark of its name kills dvc and itself, as a lack of memory does.
KILL = """
import os, signal, sys
from pathlib import Path

import psutil


def maybe_killed(name):
    mark = Path("marks") / name
    if mark.exists():
        mark.unlink()
        above = [process for process in psutil.Process().parents() if "repro" in process.cmdline()]
        for process in above:
            process.suspend()
        for process in above:
            process.kill()
        os.kill(os.getpid(), signal.SIGKILL)
"""
TRAIN = """
from pathlib import Path

from maybe_killed import maybe_killed

from echosynth.tracking.runs import child_run

with child_run("net", "train") as run:
    run.metrics({"loss": 0.5}, 10)
    Path("models").mkdir(exist_ok=True)
    Path("models/net").write_text("weights")
maybe_killed("train")
"""
REPORT = """
from pathlib import Path

from maybe_killed import maybe_killed

from echosynth.common.files import write_json
from echosynth.tracking.runs import finish_parent

write_json("reports/metrics.json", {"test": {"macro_auprc": 0.5}})
finish_parent({"test.macro_auprc": 0.5}, {}, [Path("reports/metrics.json")])
maybe_killed("report")
"""
PIPELINE = """
stages:
  train:
    cmd: {python} src/train.py
    deps: [src/train.py]
    outs: [models/net]
  report:
    cmd: {python} src/report.py
    deps: [src/report.py, models/net]
    metrics:
      - reports/metrics.json: {{cache: false}}
"""


@pytest.fixture
def project(tmp_path: Path, migrated: Path, python: Path) -> Path:
    """A git and DVC repository with a commit, of a stage that trains and one that reports."""
    (tmp_path / "src").mkdir()
    (tmp_path / "marks").mkdir()
    for name, text in {
        "src/maybe_killed.py": KILL,
        "src/train.py": TRAIN,
        "src/report.py": REPORT,
        "dvc.yaml": PIPELINE.format(python=python),
        "params.yaml": "split: {seed: 3}\n",
        ".gitignore": "/marks\n/mlflow.db*\n/mlartifacts\n/.resume\n__pycache__\n",
    }.items():
        (tmp_path / name).write_text(text)
    shutil.copy(migrated, tmp_path / "mlflow.db")
    for command in ("git init -q", "dvc init -q", "dvc config core.analytics false", "git add -A", "git commit -qm a"):
        done = call(tmp_path, *command.split())
        assert done.returncode == 0, done.stderr
    return tmp_path


def repro(project: Path, *words: str, killed: str = "") -> None:
    if killed:
        (project / "marks" / killed).touch()
    done = call(project, "dvc", "repro", *words)
    assert done.returncode == (-9 if killed else 0), done.stderr
    assert not list((project / "marks").iterdir())


def ends(found: Sequence[Run]) -> list[tuple[str, str]]:
    return sorted((run.info.status, run.data.tags.get("error", "")) for run in found)


def test_a_result_that_dvc_was_killed_before_it_kept_leaves_one_finished_row(project: Path) -> None:
    repro(project, killed="train")
    repro(project, killed="train")
    repro(project, killed="report")
    repro(project, killed="report")
    repro(project)
    rows, children = runs(project)
    assert ends(rows) == [("FINISHED", ""), *2 * [("KILLED", REPLACED)]]
    assert ends(children) == [("FINISHED", ""), *2 * [("KILLED", REPLACED)]]
    (row,), (child,) = ([run for run in found if run.info.status == "FINISHED"] for found in (rows, children))
    assert child.data.tags["mlflow.parentRunId"] == row.info.run_id


def test_a_kept_result_that_is_run_again_by_force_has_a_row_of_its_own(project: Path) -> None:
    for _ in range(3):
        repro(project, "--force")
    rows, children = runs(project)
    assert ends(rows) == ends(children) == 3 * [("FINISHED", "")]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {run.info.run_id for run in rows}
