"""With the whole of MLflow: what is logged in one folder is found, and written, where the folder is now."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from echosynth.tracking import store
from echosynth.tracking.moved import ADDRESSES
from echosynth.tracking.runs import child_run


def logged(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Log a run with a file, and the file as a model's, in the workspace `folder`; the run's id."""
    monkeypatch.setenv("DVC_ROOT", str(folder))
    with child_run(name, "train") as run:
        (folder / "grid.txt").write_text(name)
        run.artifact(folder / "grid.txt")
    return run.id


def read(run_id: str) -> str:
    from mlflow.artifacts import download_artifacts

    store.connect()
    return Path(download_artifacts(run_id=run_id, artifact_path="grid.txt")).read_text()


def addresses(folder: Path) -> set[str]:
    """All addresses of artifacts in a store, up to the project's folder."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as opened:
        found = [row[0] for table, column in ADDRESSES for row in opened.execute(f"SELECT {column} FROM {table}")]
    return {str(address).partition("/mlartifacts")[0] for address in found if "/mlartifacts" in str(address)}


@pytest.fixture
def old(workspace: Path) -> Path:
    """A workspace in a folder that can be moved."""
    folder = workspace / "a study"
    folder.mkdir()
    for name in ("mlflow.db", "params.yaml"):
        (workspace / name).rename(folder / name)
    return folder


def test_a_renamed_folder_finds_its_artifacts_and_goes_on(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = logged(old, "first", monkeypatch)
    new = old.rename(old.parent / "renamed")
    second = logged(new, "second", monkeypatch)
    assert (read(first), read(second)) == ("first", "second")
    assert addresses(new) == {new.as_uri()}
    assert not old.exists()


def test_a_copy_never_writes_into_its_original(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = logged(old, "first", monkeypatch)
    before = sorted(path for path in old.rglob("*") if path.is_file())
    copy = shutil.copytree(old, old.parent / "copy")
    second = logged(copy, "second", monkeypatch)
    assert sorted(path for path in old.rglob("*") if path.is_file()) == before
    shutil.rmtree(old / "mlartifacts")
    assert (read(first), read(second)) == ("first", "second")
    assert (addresses(old), addresses(copy)) == ({old.as_uri()}, {copy.as_uri()})


def test_runs_that_wait_for_a_server_move_along(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    logged(old, "first", monkeypatch)
    new = old.rename(old.parent / "renamed")
    monkeypatch.setenv("DVC_ROOT", str(new))
    place = store.kept()
    location = str(place.client.get_experiment(place.experiment).artifact_location)
    assert location.startswith(f"{(new / store.KEPT).as_uri()}/")


@pytest.mark.parametrize("location", ["s3://bucket/mlartifacts", "file:///elsewhere/pictures"])
def test_places_that_somebody_chose_stay(old: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.setenv("DVC_ROOT", str(old))
    store.connect()
    with closing(sqlite3.connect(old / "mlflow.db")) as opened, opened:
        opened.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?", (location, store.EXPERIMENT))
    new = old.rename(old.parent / "renamed")
    monkeypatch.setenv("DVC_ROOT", str(new))
    assert store.client().get_experiment_by_name(store.EXPERIMENT).artifact_location == location


def test_a_store_outside_of_the_workspace_belongs_to_others_too(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = old.parent / "shared.db"
    shutil.copy(old / "mlflow.db", shared)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}")
    first = logged(old, "first", monkeypatch)
    other = old.parent / "other"
    other.mkdir()
    shutil.copy(old / "params.yaml", other)
    store._stores.clear()  # as in another process
    logged(other, "second", monkeypatch)
    assert read(first) == "first"
