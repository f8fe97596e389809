"""One finished row an experiment, whatever was killed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from echosynth.experiments import rows
from echosynth.track import store
from echosynth.track.runs import child_run, finish_parent

Run = Callable[..., str]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in them."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def run(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Execute an experiment of this name to its end; gives the id of its row."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    (tmp_path / "params.yaml").write_text("sample: {guidance: 1.0}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def execute(name: str, root: Path = tmp_path) -> str:
        with monkeypatch.context() as patch:
            patch.setenv("DVC_EXP_NAME", name)
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
            patch.setenv("DVC_ROOT", str(root))
            with child_run("net", "classify"):
                pass
            return finish_parent({"best.score": 0.5}, {})

    return execute


def status(run_id: str) -> tuple[str, str]:
    found = store.client().get_run(run_id)
    return found.info.status, found.data.tags.get("error", "")


def test_of_two_finished_rows_the_one_stays_whose_result_dvc_has(run: Run) -> None:
    first, other, second = run("a"), run("b"), run("a")
    assert first != second
    assert rows.settle(["a", "b"]) == []
    assert status(first) == ("FAILED", rows.REPLACED)
    assert status(second) == status(other) == ("FINISHED", "")


def test_rows_of_other_experiments_and_of_a_colleague_stay_as_they_are(run: Run, tmp_path: Path) -> None:
    mine, twice = run("a"), [run("b"), run("b")]
    (tmp_path / "colleague").mkdir()
    theirs = run("a", tmp_path / "colleague")
    assert rows.settle(["a"]) == []
    assert {status(row) for row in (mine, theirs, *twice)} == {("FINISHED", "")}


def test_an_experiment_of_which_no_stage_ran_is_named(run: Run) -> None:
    run("a")
    assert rows.settle(["a", "c", "b"]) == ["b", "c"]
