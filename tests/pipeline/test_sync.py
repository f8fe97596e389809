"""`echosynth sync` in a toy copy of the project: the rows that its pipeline left come back from git and DVC."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]
# Clock times and what only the machine knew.
LOST = re.compile(r"system/.*|.*seconds.*|.*per_second.*")
STAGES = ("diffusion", "sample", "classify", "fidelity", "final", "echo")
UNWRITTEN = {("learning_rate", "classify"), ("learning_rate", "echo"), ("training_loss", "echo")}  # in no file
Rows = dict[str, tuple[dict[str, str], dict[str, list[tuple[int, float]]]]]


def found(project: Path, experiment_name: str = "") -> dict[str, Run]:
    """The first row of an experiment, or of `dvc repro`, and its children, by name."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("echosynth")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    parents = [run for run in runs if run.data.tags["echosynth.stage"] == "pipeline"]
    parent = next(run for run in parents if run.data.tags.get("dvc.exp_name", "") == experiment_name)
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return {
        run.info.run_name: run for run in [parent, *below] if run.data.tags["echosynth.stage"] in (*STAGES, "pipeline")
    }


def numbers(project: Path, experiment_name: str = "") -> Rows:
    """Parameters and curves of each run, by name."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    return {
        name: (
            run.data.params,
            {
                key: sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, key))
                for key in run.data.metrics
                if not LOST.fullmatch(key) and (key, run.data.tags["echosynth.stage"]) not in UNWRITTEN
            },
        )
        for name, run in found(project, experiment_name).items()
    }


def inputs(run: Run) -> set[tuple[str, str]]:
    """Names and hashes of the data that went into a run."""
    return {(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs}


def synced(run: Command) -> dict[str, Any]:
    """What the command says it did."""
    printed = run("python", "-m", "echosynth.cli", "sync", "--json").stdout  # with stderr behind it
    said: dict[str, Any] = json.JSONDecoder().raw_decode(printed[printed.index("{") :])[0]
    return said


@pytest.fixture
def without_store(finished: Path) -> Iterator[Path]:
    """The finished project without its database; it comes back afterwards."""
    moved = [finished / name for name in ("mlflow.db", "mlartifacts")]
    for path in moved:
        path.rename(path.with_name(f"{path.name}.kept"))
    try:
        yield finished
    finally:
        for path in moved:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.kept").rename(path)


def test_the_rows_come_back_after_the_database_was_deleted(
    finished: Path, run: Command, request: pytest.FixtureRequest
) -> None:
    live, live_tags = numbers(finished), {name: each.data.tags for name, each in found(finished).items()}
    live_inputs = {name: inputs(each) for name, each in found(finished).items()}
    request.getfixturevalue("without_store")
    said = synced(run)
    assert said["missing"] == 0 and said["skipped"] == {}
    rebuilt = numbers(finished)
    assert set(rebuilt) == set(live)
    for name, (params, curves) in live.items():
        assert rebuilt[name][0] == params, name
        assert rebuilt[name][1] == curves, name
    for name, each in found(finished).items():
        assert each.info.status == "FINISHED"
        assert inputs(each) == live_inputs[name], name
        for key in ("echosynth.stage", "echosynth.run_type", "echosynth.parameters", "dvc.baseline_rev"):
            assert each.data.tags[key] == live_tags[name][key], (name, key)
    again = synced(run)
    assert {**again, "rows": 0, "children": 0, "corrected": 0} == again
    assert numbers(finished) == rebuilt


def call(where: Path, environment: dict[str, str], *words: str) -> str:
    """What a command in a clone prints."""
    own = environment | {"PYTHONPATH": str(where / "src")}
    done = subprocess.run(words, cwd=where, env=own, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stdout[-1000:], done.stderr[-3000:])
    return done.stdout


def synced_in(clone: Path, environment: dict[str, str]) -> dict[str, Any]:
    """What the command says it did in a clone."""
    said: dict[str, Any] = json.loads(call(clone, environment, "python", "-m", "echosynth.cli", "sync", "--json"))
    return said


def test_a_colleague_sees_the_same_rows(finished: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    clone, remote = tmp_path / "clone", tmp_path / "remote"
    # A folder remote is laid out like a cache; `dvc push` would send what is checked out, which other tests change.
    shutil.copytree(finished / ".dvc/cache/files", remote / "files")
    call(tmp_path, environment, "git", "clone", "-q", str(finished), str(clone))
    bare = synced_in(clone, environment)
    assert bare["rows"] >= 1 and bare["children"] == 0 and bare["missing"] > 1
    call(clone, environment, "dvc", "remote", "add", "--local", "team", str(remote))
    call(clone, environment, "dvc", "fetch", "-q", "-r", "team")  # `dvc pull` would write the files out too
    pulled = synced_in(clone, environment)
    assert (pulled["rows"], pulled["missing"]) == (0, 0) and pulled["children"] > 0
    assert numbers(clone) == numbers(finished)


def test_an_experiment_that_was_pushed_and_pulled_has_the_same_row(
    finished: Path, run: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    run("dvc", "exp", "run", "--temp", "-q", "-n", "stricter", "-S", "fidelity.privacy_quantile=0.02")
    live = numbers(finished, "stricter")
    assert len(live) > 1
    origin, clone, settings = tmp_path / "origin.git", tmp_path / "clone", tmp_path / "settings"
    settings.mkdir()
    (settings / "config").write_text(f"[core]\nremote = team\n['remote \"team\"']\nurl = {tmp_path / 'remote'}\n")
    team = environment | {"DVC_GLOBAL_CONFIG_DIR": str(settings)}
    call(finished, team, "git", "clone", "-q", "--bare", str(finished), str(origin))
    call(finished, team, "dvc", "exp", "push", "-q", str(origin), "stricter")
    call(tmp_path, team, "git", "clone", "-q", str(origin), str(clone))
    call(clone, team, "dvc", "exp", "pull", "-q", "origin", "stricter")
    assert synced_in(clone, team)["skipped"] == {}
    assert numbers(clone, "stricter") == live
    again = synced_in(clone, team)
    assert {**again, "rows": 0, "children": 0, "corrected": 0} == again
    assert numbers(clone, "stricter") == live
