"""At most one finished row an experiment, whatever was killed."""

import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from echosynth.experiments import rows
from echosynth.tracking import store
from echosynth.tracking.rows import REPLACED
from echosynth.tracking.runs import child_run, finish_parent

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Execute an experiment of this name to its end; gives the id of its row."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    (tmp_path / "params.yaml").write_text("sample: {guidance: 1.0}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def execute(name: str, root: Path = tmp_path, children: Sequence[str] = ("net",)) -> str:
        with monkeypatch.context() as patch:
            patch.setenv("DVC_EXP_NAME", name)
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
            patch.setenv("DVC_ROOT", str(root))
            for child in children:
                with child_run(child, "classify"):
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
    assert status(first) == ("KILLED", REPLACED)
    assert status(second) == status(other) == ("FINISHED", "")


def children(run_id: str) -> list[str]:
    """Names of the runs below a row."""
    found = store.client().search_runs(
        [store.connect().experiment], f"tags.`mlflow.parentRunId` = '{run_id}'", order_by=["attributes.run_name"]
    )
    return [str(run.info.run_name) for run in found]


def test_trainings_that_came_from_dvc_s_run_cache_stand_below_the_row_that_stays(run: Run) -> None:
    earlier = [run("a", children=names) for names in (["diffusion", "echo"], ["net", "other net"])]
    later = run("a", children=["net"])
    for _ in range(2):
        assert rows.settle(["a"]) == []
        assert children(later) == ["diffusion", "echo", "net", "other net"]
        assert [children(row) for row in earlier] == [[], ["net"]]
        assert [status(row)[0] for row in (*earlier, later)] == ["KILLED", "KILLED", "FINISHED"]


def test_no_row_of_an_experiment_without_a_result_is_finished(run: Run, tmp_path: Path) -> None:
    lost, kept = run("a"), run("b")
    (tmp_path / "colleague").mkdir()
    theirs = run("a", tmp_path / "colleague")
    assert rows.settle(["b"], ["a"]) == []
    assert status(lost) == ("FAILED", REPLACED)
    assert status(kept) == status(theirs) == ("FINISHED", "")
    assert run("a") == lost  # its next attempt goes on in it
    assert status(lost) == ("FINISHED", "")


def test_a_server_that_does_not_answer_does_not_mean_that_there_are_no_rows(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as bound:  # not listening
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(store.Unreachable):
            rows.settle(["a"])


def test_rows_that_wait_for_a_server_are_seen_to(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, second = run("a"), run("a")
    folder = tmp_path / store.KEPT / "waiting"
    folder.mkdir(parents=True)
    (tmp_path / "mlflow.db").rename(folder / "mlflow.db")
    assert rows.settle(["a"]) == []
    found = store.kept().client
    assert [found.get_run(row).info.status for row in (first, second)] == ["KILLED", "FINISHED"]
    assert not (tmp_path / "mlflow.db").exists()


def test_rows_of_other_experiments_and_of_a_colleague_stay_as_they_are(run: Run, tmp_path: Path) -> None:
    mine, twice = run("a"), [run("b"), run("b")]
    (tmp_path / "colleague").mkdir()
    theirs = [run("a", tmp_path / "colleague") for _ in range(2)]
    assert rows.settle(["a"], ["c"]) == []
    assert {status(row) for row in (mine, *theirs, *twice)} == {("FINISHED", "")}


def test_an_experiment_of_which_no_stage_ran_is_named(run: Run) -> None:
    run("a")
    assert rows.settle(["a", "c", "b"]) == ["b", "c"]
