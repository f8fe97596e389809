import signal
import subprocess
import sys
from pathlib import Path

import psutil
from mlflow.entities import Run
from tests.killing import kill

from echosynth.tracking import store
from echosynth.tracking.runs import child_run, close_dead

STAGE = """
import sys, time
from echosynth.tracking.runs import child_run
with child_run("a", "train", {"seed": 1}, work="state") as run:
    run.metrics({"loss": 0.5}, 10)
    print("on", flush=True)
    time.sleep(3600)
"""
DVC = "import subprocess, sys\nsubprocess.run([sys.executable, 'stage.py'])\n"


def runs() -> dict[str, Run]:
    """All runs by name."""
    found = store.client().search_runs([store.connect().experiment])
    return {run.info.run_name: run for run in found}


def test_killed_processes_leave_failed_runs_with_the_reason(workspace: Path) -> None:
    (workspace / "stage.py").write_text(STAGE)
    (workspace / "dvc").write_text(DVC)
    process = subprocess.Popen(
        [sys.executable, workspace / "dvc", "repro"], stdout=-1, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    assert close_dead() == []
    assert {run.info.status for run in runs().values()} == {"RUNNING"}

    (stage,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGSTOP)  # dvc is there and has not seen yet that its stage is gone
    kill([stage])
    assert close_dead() == ["a"]
    child = runs()["a"]
    assert child.info.status == "FAILED"
    assert child.data.tags["error"].startswith("its process was killed, or the machine went down (process ")
    assert runs()["repro"].info.status == "RUNNING"

    process.kill()
    process.wait()
    assert close_dead() == ["repro"]
    assert runs()["repro"].data.tags["error"].startswith("the pipeline ended before its report (process ")
    assert close_dead() == []

    with child_run("a", "train", {"seed": 1}, work="state"):  # the next attempt goes on in both
        assert {name: run.info.status for name, run in runs().items()} == {"a": "RUNNING", "repro": "RUNNING"}
    assert runs()["a"].info.run_id == child.info.run_id
    assert "error" not in runs()["a"].data.tags


def test_a_run_that_was_wrongly_taken_for_dead_ends_well(workspace: Path) -> None:
    with child_run("a", "train") as run:
        run.place.client.set_tag(run.id, "error", "its process was killed")
        run.place.client.set_terminated(run.id, "FAILED")
    assert runs()["a"].info.status == "FINISHED"
    assert "error" not in runs()["a"].data.tags


def test_nothing_is_made_where_nothing_is(bare: Path) -> None:
    assert close_dead() == []
    assert not (bare / "mlflow.db").exists()
