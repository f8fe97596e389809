"""Rebuilding MLflow's rows on the command line."""

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.tracking.results import PARAMS, Repository, cell, changed, object_of

from echosynth import cli
from echosynth.cli.sync import rebuilt
from echosynth.tracking import offline, runs, store
from echosynth.tracking.runs import finish_parent
from echosynth.tracking.sync import Synced


@pytest.fixture
def repository(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """An empty repository in the working directory, which is the workspace too, with a database that is empty too."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    store._lost.clear()
    return Repository()


def test_what_was_done_is_said(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.output("models/classifiers/real-60-resnet18", cell())
    repository.result()
    repository.write(changed(PARAMS, split={"seed": 4}))
    Path("reports/metrics.json").write_text("{")
    torn = repository.commit()
    assert cli.main(["sync"]) == 0
    out, err = capsys.readouterr()
    assert out == "git and DVC know 1 results; added 1 rows and 2 child runs\n"
    assert f"skipped commit {torn[:7]}: reports/metrics.json is torn" in err

    assert cli.main(["sync", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {
        "sent": 0,
        "waiting": 0,
        "closed": [],
        "results": 1,
        "rows": 0,
        "children": 0,
        "missing": 0,
    }.items() <= said.items()
    assert list(said["skipped"]) == [f"commit {torn[:7]}"]


@pytest.mark.parametrize("remote", [True, False])
def test_what_waits_is_sent_and_what_is_dead_is_closed_before(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, remote: bool
) -> None:
    if remote:
        Path(".dvc/config").write_text("['remote \"team\"']\nurl = ../remote\n")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", "/nowhere")
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", "/nowhere")
    monkeypatch.setattr(offline, "send", lambda: 3)
    monkeypatch.setattr(runs, "close_dead", lambda: ["diffusion 60"])
    folder, *_ = repository.output("models/classifiers/real-60-resnet18", cell())
    object_of(folder).unlink()
    repository.result()
    assert cli.main(["sync"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sent 3 runs that were kept while the tracking server did not answer",
        "closed 1 runs whose process is gone: diffusion 60",
        "git and DVC know 1 results; added 1 rows and 0 child runs",
        "1 outputs with child runs, or pages, are not in the DVC cache; "
        + (
            "`dvc pull` (`dvc fetch --all-commits` for older commits, `dvc exp pull REMOTE` for experiments) brings "
            "them, then run `echosynth sync` again"
            if remote
            else "no remote is set that may have them, so their rows stay without; `dvc repro` makes those of the "
            "present state"
        ),
    ]


def test_runs_that_wait_for_a_server_are_named_where_none_is_set(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.result()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody answers there
    finish_parent({"test.macro_f1": 0.5}, {})
    assert "the runs are kept in .resume/offline" in capsys.readouterr().err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert cli.main(["sync"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "1 runs wait for the tracking server that did not answer; `MLFLOW_TRACKING_URI=http://SERVER:PORT "
        "echosynth sync` sends them"
    )
    assert cli.main(["sync", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["waiting"] == 1


def test_results_from_before_records_are_rows_without_child_runs_and_one_sentence(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.output("models/classifiers/real-60-resnet18", {"real/seed-0/metrics.json": {}})
    repository.output("models/diffusion/60", {"metrics.json": {}})
    repository.result()
    assert cli.main(["sync"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "git and DVC know 1 results; added 1 rows and 0 child runs",
        "2 outputs hold no run.json, as they are older than this file: their rows have no child runs for them",
    ]
    assert "skipped" not in err
    assert cli.main(["sync"]) == 0
    assert capsys.readouterr().out == "git and DVC know 1 results; added 0 rows and 0 child runs\n"


def test_corrections_and_results_without_a_row_are_counted() -> None:
    said = rebuilt(Synced(results=3, corrected=2, stale=1))
    assert said[1:] == [
        "corrected the tag dvc.lock of 2 rows",
        "1 revisions hold scores of other parameters (they were not run to the end): no row",
    ]


def test_without_a_repository_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sync"]) == 1
    assert capsys.readouterr().err.startswith("error: `git for-each-ref` failed (fatal: not a git repository")
