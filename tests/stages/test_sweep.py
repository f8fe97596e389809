"""Sweeps and searches for real: dvc, its queue and mlflow as processes, in a project with one stage of a few lines and
in the toy copy of this project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
STAGE = """
import os, time
from pathlib import Path

from echosynth.yaml12 import read_yaml
from echosynth.files import write_json
from echosynth.track.runs import child_run, finish_parent

params = read_yaml("params.yaml")
steps = params["classifier"]["steps"]
marks = Path(os.environ["DVC_ROOT"]) / "marks"
with child_run(f"train {steps}", "train"):
    if steps == 13 or steps == 14 and not (marks / "14").exists():
        (marks / str(steps)).touch()
        raise RuntimeError(f"{steps} steps bring bad luck")
    (marks / f"begun-{steps}").touch()
    while (marks / "wait").exists():
        time.sleep(0.05)
score = 1 - abs(steps - 11) / 100
Path("models").mkdir(exist_ok=True)
Path("models/net").write_text(f"{steps} steps")
write_json("reports/metrics.json", {"best": {"validation_macro_auprc": score}, "test": {"macro_auprc": score / 2}})
finish_parent({"best.validation_macro_auprc": score}, params)
"""
PIPELINE = """
stages:
  train:
    cmd: python src/train.py
    deps: [src/train.py]
    params: [classifier]
    outs: [models/net]
    metrics:
      - reports/metrics.json: {cache: false}
"""


def bare_environment() -> dict[str, str]:
    """The environment of this process without what DVC and MLflow would take from it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    identity = {f"GIT_{who}_{what}": "toy" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | identity | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"}


def call(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a project; `dvc` need not be on the path of the one who calls echosynth."""
    if words[0] in ("echosynth", "dvc"):
        words = (sys.executable, "-m", {"echosynth": "echosynth.cli", "dvc": "dvc"}[words[0]], *words[1:])
    return subprocess.run(words, cwd=project, env=bare_environment(), check=False, text=True, capture_output=True)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A fresh clone: a commit, no database, nothing in the cache."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "marks").mkdir()
    (tmp_path / "src/train.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    with (tmp_path / ".gitignore").open("a") as stream:
        stream.write("/marks/\n/models/net\n")
    for command in (
        "git init -q",
        "dvc init -q",
        "dvc config core.analytics false",
        "git add -A",
        "git commit -qm toy",
    ):
        done = call(tmp_path, *command.split())
        assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow; to make one takes seconds."""
    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def small(fresh: Path, migrated: Path) -> Path:
    """The same with a database, in which nothing is."""
    shutil.copy(migrated, fresh / "mlflow.db")
    return fresh


def grid(project: Path, *steps: int) -> str:
    path = project / "marks" / "grid.yaml"
    path.write_text(f"parameters: {{classifier.steps: {list(steps)}}}\n")
    return str(path)


def runs(project: Path) -> tuple[list[Run], list[Run]]:
    """Parents and children in the project's store."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("echosynth").experiment_id])
    children = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    return [run for run in found if "mlflow.parentRunId" not in run.data.tags], children


def ranking(printed: str) -> list[str]:
    """Values of classifier.steps in a printed ranking, the best first."""
    return re.findall(r"^steps-(\d+)_?\S*", printed, re.MULTILINE)


def test_two_workers_lose_no_run_and_no_artifact(fresh: Path) -> None:
    (fresh / "src/train.py").write_text(STAGE.replace("/ 100", "/ 1000"))  # uncommitted code is taken along
    done = call(fresh, "echosynth", "sweep", grid(fresh, 10, 11, 13, 14), "--workers", "2")
    assert done.returncode == 1, done.stderr
    assert ranking(done.stdout) == ["11", "10", "14"]
    assert max(map(len, done.stdout.partition("\n\n")[0].splitlines())) <= 100
    # 14 failed once, 13 twice: both tries are one row, and the log says why.
    assert len(re.findall(r"^steps-1[34]-\w+ failed and is tried once more", done.stderr, re.MULTILINE)) == 2
    assert "RuntimeError: 13 steps bring bad luck" in done.stderr
    assert "error: 1 experiments failed" in done.stderr
    parents, children = runs(fresh)
    statuses = {"10": "FINISHED", "11": "FINISHED", "13": "FAILED", "14": "FINISHED"}
    assert sorted((run.data.params["classifier.steps"], run.info.status) for run in parents) == sorted(statuses.items())
    assert sorted(run.info.status for run in children) == sorted(statuses.values())
    (failed,) = (run for run in parents if run.info.status == "FAILED")
    assert "13 steps bring bad luck" in failed.data.tags["error"]
    scores = {run.data.metrics["best.validation_macro_auprc"] for run in parents if run is not failed}
    assert scores == {1.0, 0.999, 0.997}

    names = set(re.findall(r"^steps-\S+", done.stdout, re.MULTILINE))
    assert {run.data.tags["dvc.exp_name"] for run in parents if run is not failed} == names
    again = re.search(r"^Again: (.*)$", done.stdout, re.MULTILINE)
    assert again
    shown = call(fresh, *shlex.split(again[1]), "--no-pager").stdout
    assert all(name in shown for name in names)
    best = re.search(r"dvc exp apply (\S+)", done.stdout)
    assert best
    assert call(fresh, "dvc", "exp", "apply", best[1]).returncode == 0
    assert (fresh / "models/net").read_text() == "11 steps"

    # Called again with the best one's parameters and results in the working tree: there is nothing to train.
    second = call(fresh, "echosynth", "sweep", grid(fresh, 10, 11, 14))
    assert second.returncode == 0, second.stderr
    assert second.stdout == done.stdout
    assert "3 experiments, 3 of them with a result" in second.stderr
    assert len(runs(fresh)[0]) == 4


def start(project: Path, *words: str) -> subprocess.Popen[bytes]:
    """A command of echosynth that runs meanwhile; marks/err says what it has to say."""
    with (project / "marks/err").open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "echosynth.cli", *words],
            cwd=project,
            env=bare_environment(),
            stdout=subprocess.DEVNULL,
            stderr=stream,
        )


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def command(process: psutil.Process) -> str:
    """What a process was called with; empty for one that has just ended, as the sweep's calls of git do."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill(processes: Sequence[psutil.Process]) -> None:
    """Kill what of them is still there."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


@contextmanager
def begun(project: Path, *words: str, marks: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A command of echosynth whose experiments wait in the middle of their stage."""
    (project / "marks/wait").touch()
    process = start(project, *words)
    while process.poll() is None and len(list((project / "marks").glob("begun-*"))) < marks:
        time.sleep(0.1)
    assert process.poll() is None, (project / "marks/err").read_text()
    try:
        yield process
    finally:
        (project / "marks/wait").unlink(missing_ok=True)
        process.wait()


def test_a_killed_worker_costs_nothing_but_time(small: Path) -> None:
    with begun(small, "sweep", grid(small, 10, 11), "--workers", "2", marks=2) as process:
        victim = next(child for child in descendants(process) if "src/train.py" in command(child))
        # The stage, the two processes of dvc above it, and the worker.
        family = [victim, *victim.parents()]
        kill(family[: [one.pid for one in family].index(process.pid)])
        (small / "marks/wait").unlink()
        assert process.wait() == 0, (small / "marks/err").read_text()
    parents, _ = runs(small)
    assert sorted(run.data.params["classifier.steps"] for run in parents if run.info.status == "FINISHED") == [
        "10",
        "11",
    ]
    assert not [run for run in parents if run.info.status == "RUNNING"]


def test_a_stopped_sweep_leaves_no_process_behind(small: Path) -> None:
    with begun(small, "sweep", grid(small, 10)) as process:
        below = descendants(process)
        process.terminate()
        assert process.wait() == 1
        assert "stopped; call the same command again" in (small / "marks/err").read_text()
        assert not psutil.wait_procs(below, timeout=60)[1]
    parents, _ = runs(small)
    assert [run.info.status for run in parents] == ["FAILED"]


def test_a_search_is_one_row_a_trial_and_goes_on(small: Path) -> None:
    pytest.importorskip("optuna", reason="needs requirements-extra.txt")
    path = small / "marks" / "space.yaml"
    path.write_text("parameters: {classifier.steps: {low: 20, high: 400}}\n")
    first = call(small, "echosynth", "search", str(path), "--trials", "1")
    assert first.returncode == 0, first.stderr
    second = call(small, "echosynth", "search", str(path), "--trials", "2")
    assert second.returncode == 0, second.stderr
    assert set(ranking(first.stdout)) < set(ranking(second.stdout)) and len(ranking(second.stdout)) == 2
    assert "trial 1: classifier.steps = " in second.stderr and "trial 0" not in second.stderr
    parents, _ = runs(small)
    assert sorted(run.data.params["classifier.steps"] for run in parents) == sorted(ranking(second.stdout))


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


def test_a_killed_sweep_of_the_study_goes_on_with_its_training(clone: Path) -> None:
    path = clone / "marks/grid.yaml"
    path.write_text("parameters: {diffusion.seed: [71], diffusion.steps: [60]}\ntargets: [diffusion]\n")
    process = start(clone, "sweep", str(path))
    while process.poll() is None and not list(clone.glob(".resume/diffusion-*/state.safetensors")):
        time.sleep(0.02)
    assert process.poll() is None, (clone / "marks/err").read_text()
    kill([*descendants(process), psutil.Process(process.pid)])
    process.wait()

    done = call(clone, "echosynth", "sweep", str(path))
    assert done.returncode == 0, done.stderr
    name = re.search(r"^seed-71_steps-60-\w+", done.stdout, re.MULTILINE)
    assert name
    assert "training goes on at step" in call(clone, "dvc", "queue", "logs", name[0]).stdout
    assert not list(clone.glob(".resume/diffusion-*/"))
    (parent,), (child,) = runs(clone)  # what the kill left is what was completed
    assert parent.data.tags["dvc.exp_name"] == name[0]
    assert parent.data.params["diffusion.steps"] == "60"
    assert (child.info.run_name, child.info.status) == ("diffusion 60", "FINISHED")
