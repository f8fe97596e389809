"""`echosynth sync` in a toy copy of the project: the rows that its pipeline left come back from git and DVC."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from tests.pipeline.toy import Experiment
from tests.tracking.fields import OWN_TAGS, UNWRITTEN, Fields, assert_equal, fields_of

from echosynth.config.parameters import Params

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]
STAGES = ("diffusion", "sample", "baseline", "classify", "fidelity", "final", "feature-network")


def store_of(project: Path) -> MlflowClient:
    """A client of a copy of the project's store as it is now: MLflow keeps connections to a file that was moved away,
    and would go on to read that one."""
    copy = Path(tempfile.mkdtemp(dir=project / ".dvc" / "tmp")) / "mlflow.db"
    shutil.copy(project / "mlflow.db", copy)
    return MlflowClient(f"sqlite:///{copy}")


def found(client: MlflowClient, experiment_name: str = "") -> dict[str, Run]:
    """The first row of an experiment, or of `dvc repro`, and its children, by name."""
    experiment = client.get_experiment_by_name("echosynth")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    parents = [run for run in runs if run.data.tags["echosynth.stage"] == "pipeline"]
    parent = next(run for run in parents if run.data.tags.get("dvc.exp_name", "") == experiment_name)
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return {
        run.info.run_name: run for run in [parent, *below] if run.data.tags["echosynth.stage"] in (*STAGES, "pipeline")
    }


def fields(project: Path, experiment_name: str = "") -> dict[str, Fields]:
    """All that each run of a row holds, by name."""
    client = store_of(project)
    return {name: fields_of(client, run) for name, run in found(client, experiment_name).items()}


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
    live = fields(finished)
    assert {run["status"] for run in live.values()} == {"FINISHED"}
    assert {"training_loss", "learning_rate"} <= set(live["feature network"]["metrics"])
    assert {"training_loss", "learning_rate"} <= set(live["resnet18 real 60 seed 0"]["metrics"])
    assert "precision_recall_shift.png" in live["final model"]["artifacts"]
    request.getfixturevalue("without_store")
    said = synced(run)
    assert (said["missing"], said["unrecorded"], said["skipped"]) == (0, 0, {})
    rebuilt = fields(finished)
    assert_equal(live, rebuilt)
    again = synced(run)
    assert {**again, "rows": 0, "children": 0, "corrected": 0} == again
    assert fields(finished) == rebuilt


def test_records_hold_parameters_that_dvc_compares_and_nothing_of_the_moment(finished: Path) -> None:
    lock = yaml.safe_load((finished / "dvc.lock").read_text())["stages"]
    records = 0
    for stage in lock.values():
        listed = set(stage.get("params", {}).get("params.yaml", {}))
        for out in stage["outs"]:
            for path in (finished / out["path"]).rglob("run.json"):
                record = json.loads(path.read_text())
                sections = {key for key in record["params"] if key.partition(".")[0] in Params.model_fields}
                used = {key for key in sections if "." in key}
                unlisted = {key for key in used if not any(f"{key}.".startswith(f"{name}.") for name in listed)}
                assert not unlisted, path
                assert not [name for name in record["metrics"] if UNWRITTEN.fullmatch(name)], path
                assert not {*record["tags"]} & OWN_TAGS, path
                assert all((path.parent / name).is_file() for name in record["artifacts"]), path
                records += 1
    assert records == len(found(store_of(finished))) - 1  # all but the row itself


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
    shutil.copytree(finished / ".dvc/cache/files", remote / "files", copy_function=os.link)
    call(tmp_path, environment, "git", "clone", "-q", str(finished), str(clone))
    bare = synced_in(clone, environment)
    assert bare["rows"] >= 1 and bare["children"] == 0 and bare["missing"] > 1
    call(clone, environment, "dvc", "remote", "add", "--local", "team", str(remote))
    call(clone, environment, "dvc", "fetch", "-q", "-r", "team")  # `dvc pull` would write the files out too
    pulled = synced_in(clone, environment)
    assert (pulled["rows"], pulled["missing"]) == (0, 0) and pulled["children"] > 0
    assert_equal(fields(finished), fields(clone))


def test_an_experiment_that_was_pushed_and_pulled_has_the_same_row(
    finished: Path, longer: Experiment, tmp_path: Path, environment: dict[str, str]
) -> None:
    live = fields(finished, longer.name)
    assert len(live) > 1
    origin, clone, settings = tmp_path / "origin.git", tmp_path / "clone", tmp_path / "settings"
    settings.mkdir()
    (settings / "config").write_text(f"[core]\nremote = team\n['remote \"team\"']\nurl = {tmp_path / 'remote'}\n")
    team = environment | {"DVC_GLOBAL_CONFIG_DIR": str(settings)}
    call(finished, team, "git", "clone", "-q", "--bare", str(finished), str(origin))
    call(finished, team, "dvc", "exp", "push", "-q", str(origin), longer.name)
    call(tmp_path, team, "git", "clone", "-q", str(origin), str(clone))
    call(clone, team, "dvc", "exp", "pull", "-q", "origin", longer.name)
    assert synced_in(clone, team)["skipped"] == {}
    assert_equal(live, fields(clone, longer.name))
    again = synced_in(clone, team)
    assert {**again, "rows": 0, "children": 0, "corrected": 0} == again
    assert_equal(live, fields(clone, longer.name))
