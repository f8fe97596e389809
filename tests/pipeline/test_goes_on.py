"""A sweep of the study itself, in the toy project, that is killed in the middle of a training."""

import os
import re
import shutil
from pathlib import Path

import psutil
import pytest
from tests.killing import kill
from tests.pipeline.commands import HASTY, INTERPRETER, WAITING, call, descendants, ended, runs, start, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(finished: Path, migrated: Path, tmp_path: Path) -> Path:
    """A clone of the finished toy project, with its cache and an empty database."""
    folder = tmp_path / "clone"
    for command in (
        ("git", "clone", "-q", str(finished), str(folder)),
        ("dvc", "--cd", str(folder), "config", "--local", "cache.dir", str(finished / ".dvc/cache")),
    ):
        done = call(tmp_path, *command)
        assert done.returncode == 0, done.stderr
    shutil.copy(migrated, folder / "mlflow.db")
    (folder / "marks").mkdir()
    return folder


def test_a_killed_sweep_of_the_study_goes_on_with_its_training(
    clone: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    path = clone / "marks/grid.yaml"
    path.write_text("parameters: {diffusion.seed: [71], diffusion.steps: [15]}\ntargets: [diffusion]\n")
    (tmp_path / "sitecustomize.py").write_text(HASTY + WAITING)
    process = start(clone, "sweep", str(path), customized=tmp_path)
    wait_for("a checkpoint", lambda: list(clone.glob(".resume/diffusion-*/state.safetensors")), process, clone)
    kill([*descendants(process), psutil.Process(process.pid)])
    ended(process, clone)

    python = Path(environment["PATH"].partition(os.pathsep)[0]) / "python"
    (clone / "marks/sitecustomize.py").write_text(HASTY + INTERPRETER.format(str(python)))
    done = call(clone, "echosynth", "sweep", str(path), python=python)
    assert done.returncode == 0, done.stderr
    name = re.search(r"^seed-71_steps-15-\w+", done.stdout, re.MULTILINE)
    assert name
    assert "training goes on at step" in call(clone, "dvc", "queue", "logs", name[0], python=python).stdout
    assert not list(clone.glob(".resume/diffusion-*/"))
    (parent,), (child,) = runs(clone)  # what the kill left is what was completed
    assert parent.data.tags["dvc.exp_name"] == name[0]
    assert parent.data.params["diffusion.steps"] == "15"
    assert (child.info.run_name, child.info.status) == ("diffusion 60", "FINISHED")
