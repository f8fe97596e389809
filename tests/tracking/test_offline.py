"""Runs without a server, and how they get to it: a real `mlflow server`, which is killed in the middle."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from tests import killing

from echosynth.common.errors import EchosynthError
from echosynth.tracking import answers, closing, offline, rows, runs, store
from echosynth.tracking.logger import RunLogger
from echosynth.tracking.runs import child_run, finish_parent


class Server:
    """An MLflow server on a database of its own, which can be killed and started again."""

    def __init__(self, folder: Path, database: Path) -> None:
        shutil.copy(database, folder / "server.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.url = folder, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        words = ["server", "--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}", "--artifacts-destination"]
        words += [str(self.folder / "artifacts"), "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 1800
        while True:
            assert self.process.poll() is None, "the server did not start"
            assert time.monotonic() < until, "the server did not answer within 1800 s"
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=60).close()
                return
            except OSError:
                time.sleep(0.2)

    def kill(self) -> None:
        """Kill it and the process below it that listens, and wait until the port is free."""
        assert self.process is not None
        main = psutil.Process(self.process.pid)
        killing.kill([main, *main.children(recursive=True)])
        self.process.wait()

    def all_runs(self) -> list[Run]:
        client = MlflowClient(self.url)
        experiment = client.get_experiment_by_name("echosynth")
        return list(client.search_runs([experiment.experiment_id])) if experiment else []

    def runs(self) -> dict[str, Run]:
        """All runs by name, which must differ."""
        found = self.all_runs()
        named = {run.info.run_name: run for run in found}
        assert len(named) == len(found), [run.info.run_name for run in found]
        return named

    def curve(self, run: Run, name: str) -> list[tuple[int, float, int]]:
        history = MlflowClient(self.url).get_metric_history(run.info.run_id, name)
        return [(point.step, point.value, point.timestamp) for point in history]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"), migrated)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def server(process: Server, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, in whose experiment nothing is left of earlier tests."""
    another_process()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", process.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")  # slow is not gone
    monkeypatch.setattr(answers, "PROBE_SECONDS", 600)
    client = MlflowClient(process.url)
    for run in process.all_runs():
        client.delete_run(run.info.run_id)
    return process


@pytest.fixture
def dead(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A workspace that does not reach its server; `back` makes it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused.getsockname()[1]}")
        yield


def another_process() -> None:
    """Forget what this process knows of its stores, as a new one would."""
    store._lost.clear()
    store._stores.clear()
    runs._looked_after.clear()


def back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    another_process()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)


def train(workspace: Path, name: str = "a") -> None:
    """What a stage logs, once of everything."""
    (workspace / "grid.txt").write_text(name)
    with child_run(name, "classify", {"seed": 1}, {"arm": "mixed"}) as run:
        run.dataset("subset", "0" * 32 + ".dir", "training")
        for step in (5, 10):
            run.metrics({"loss": 1 / step}, step)
        run.metrics({"f1": 0.5})
        run.artifact(workspace / "grid.txt", "grids")


pytestmark = pytest.mark.slow


def test_without_a_server_everything_is_kept_said_once_and_sent_later(
    server: Server, dead: None, workspace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train(workspace)
    with pytest.raises(EchosynthError, match="the disk is full"), child_run("b", "sample"):
        raise EchosynthError("the disk is full")
    parent = finish_parent({"macro_f1": 0.75}, {"further": 5}, [workspace / "params.yaml"])
    said = capfd.readouterr().err
    assert said.count("`echosynth sync` sends them later") == said.count("\n") == 1
    kept = {run.info.run_name: run for run in rows.search(store.kept())}
    curve = store.kept().client.get_metric_history(kept["a"].info.run_id, "loss")
    with pytest.raises(store.Unreachable):
        offline.send()

    back(server, monkeypatch)
    assert offline.send() == 3
    there = server.runs()
    assert set(there) == {"a", "b", "repro"}
    assert [there[name].info.status for name in ("a", "b", "repro")] == ["FINISHED", "FAILED", "FINISHED"]
    assert there["b"].data.tags["error"] == "the disk is full"
    assert server.curve(there["a"], "loss") == [(point.step, point.value, point.timestamp) for point in curve]
    for name, run in there.items():
        assert run.data.params == kept[name].data.params
        assert run.data.metrics == kept[name].data.metrics
        assert (run.info.start_time, run.info.end_time) == (kept[name].info.start_time, kept[name].info.end_time)
        own = {key: text for key, text in run.data.tags.items() if key not in (offline.KEPT_RUN, "mlflow.parentRunId")}
        assert own == {key: text for key, text in kept[name].data.tags.items() if key != "mlflow.parentRunId"}
    assert there["repro"].data.metrics == {"macro_f1": 0.75}
    assert there["repro"].data.tags[offline.KEPT_RUN] == parent
    assert {there[name].data.tags["mlflow.parentRunId"] for name in ("a", "b")} == {there["repro"].info.run_id}
    (given,) = there["a"].inputs.dataset_inputs
    assert (given.dataset.name, given.tags[0].value) == ("subset", "training")
    client = MlflowClient(server.url)
    assert Path(client.download_artifacts(there["a"].info.run_id, "grids/grid.txt")).read_text() == "a"
    assert Path(client.download_artifacts(there["repro"].info.run_id, "params.yaml")).exists()
    assert store.kept_folder() is None
    assert offline.send() == 0


def test_a_server_that_dies_in_the_middle_of_a_training_gets_the_rest_later(
    server: Server, workspace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (workspace / "grid.txt").write_text("late")
    with child_run("a", "classify", {"seed": 1}) as run:
        run.metrics({"loss": 0.5}, 5)
        began = run.id
        server.kill()
        run.metrics({"loss": 0.5}, 5)  # as a training does that goes on from a state saved before this step
        run.metrics({"loss": 0.25}, 10)
        run.artifact(workspace / "grid.txt")
        assert run.id != began
    finish_parent({"macro_f1": 0.75}, {})
    assert capfd.readouterr().err.count("`echosynth sync` sends them later") == 1

    server.start()
    back(server, monkeypatch)
    assert server.runs()["a"].info.status == "RUNNING"
    assert offline.send() == 2
    there = server.runs()
    assert set(there) == {"a", "repro"}
    assert there["a"].info.run_id == began
    assert [(step, value) for step, value, _ in server.curve(there["a"], "loss")] == [(5, 0.5), (10, 0.25)]
    assert {run.info.status for run in there.values()} == {"FINISHED"}
    assert there["a"].data.tags["mlflow.parentRunId"] == there["repro"].info.run_id
    assert there["repro"].data.metrics == {"macro_f1": 0.75}
    assert [item.path for item in MlflowClient(server.url).list_artifacts(began)] == ["grid.txt"]


@pytest.mark.parametrize("calls", [1, 2, 3, 5, 8])
def test_a_killed_copy_goes_on_without_doubles(
    server: Server, dead: None, workspace: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    train(workspace)
    finish_parent({"macro_f1": 0.75}, {})
    back(server, monkeypatch)
    left = calls

    def killing(function):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("create_run", "log_batch", "log_inputs", "log_artifacts", "set_terminated"):
            patch.setattr(MlflowClient, name, killing(getattr(MlflowClient, name)))
        with pytest.raises(KeyboardInterrupt):
            offline.send()
    offline.send()
    there = server.runs()
    assert set(there) == {"a", "repro"}
    assert [(step, value) for step, value, _ in server.curve(there["a"], "loss")] == [(5, 0.2), (10, 0.1)]
    assert [value for _, value, _ in server.curve(there["a"], "f1")] == [0.5]
    assert len(there["a"].inputs.dataset_inputs) == 1
    assert {run.info.status for run in there.values()} == {"FINISHED"}
    assert store.kept_folder() is None


def test_executions_one_after_another_stay_two_rows(
    server: Server, dead: None, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for score in (0.5, 0.75):
        train(workspace)
        finish_parent({"macro_f1": score}, {})
        time.sleep(0.01)
    back(server, monkeypatch)
    assert offline.send() == 4
    found = server.all_runs()
    scores = {run.info.run_id: run.data.metrics.get("macro_f1") for run in found}
    children = [run for run in found if run.info.run_name == "a"]
    assert sorted(scores[child.data.tags["mlflow.parentRunId"]] for child in children) == [0.5, 0.75]


def test_stages_before_and_after_the_server_is_back_share_one_row(
    server: Server, dead: None, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(workspace, "a")
    back(server, monkeypatch)
    train(workspace, "b")
    finish_parent({"macro_f1": 0.75}, {})
    assert offline.send() == 1  # its parent's process, this one's, is still there
    there = server.runs()
    assert set(there) == {"a", "b", "repro"}
    assert {there[name].data.tags["mlflow.parentRunId"] for name in ("a", "b")} == {there["repro"].info.run_id}
    monkeypatch.setattr(closing.processes, "gone", lambda tag: "process 1 on here")
    assert offline.send() == 1
    assert server.runs()["repro"].info.status == "FINISHED"
    assert store.kept_folder() is None


def test_a_run_that_is_being_written_stays_until_it_ends(
    server: Server, dead: None, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with child_run("a", "classify") as run:
        run.metrics({"loss": 0.5}, 5)
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", server.url)
            assert offline.send() == 0
        run.metrics({"loss": 0.25}, 10)
    back(server, monkeypatch)
    assert offline.send() == 1
    assert [step for step, _, _ in server.curve(server.runs()["a"], "loss")] == [5, 10]


def test_an_attempt_that_goes_on_in_a_run_while_it_is_sent_loses_nothing(
    server: Server, dead: None, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EchosynthError), child_run("a", "classify", work="state") as run:
        run.metrics({"loss": 0.5}, 5)
        raise EchosynthError("stop")
    copy = offline._copy

    def slowly(kept: store.Store, there: store.Store, old: Run, home: str) -> None:
        copy(kept, there, old, home)
        if old.info.run_name == "a" and old.info.status == "FAILED":
            rows.reopen(kept, old, "another attempt")

    back(server, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(offline, "_copy", slowly)
        offline.send()
    (kept,) = (one for one in rows.search(store.kept()) if one.info.run_name == "a")
    assert rows.SENT not in kept.data.tags
    RunLogger(kept.info.run_id, "", store.kept()).metrics({"loss": 0.25}, 10)
    rows.end(store.kept(), kept.info.run_id, "FINISHED")
    offline.send()
    there = server.runs()["a"]
    assert (there.info.status, "error" in there.data.tags) == ("FINISHED", False)
    assert [(step, value) for step, value, _ in server.curve(there, "loss")] == [(5, 0.5), (10, 0.25)]


def test_work_that_began_anew_without_a_server_is_no_part_of_the_earlier_attempt(
    server: Server, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EchosynthError), child_run("a", "classify", {"seed": 1}) as run:
        run.metrics({"loss": 0.5}, 5)
        raise EchosynthError("stop")
    store._lost.add(server.url)  # and the server is away for the next attempt
    with child_run("a", "classify", {"seed": 1}) as run:
        run.metrics({"loss": 0.25}, 5)
    back(server, monkeypatch)
    offline.send()
    attempts = {one.info.status: one for one in server.all_runs() if one.info.run_name == "a"}
    assert {status: server.curve(one, "loss")[0][:2] for status, one in attempts.items()} == {
        "FAILED": (5, 0.5),
        "FINISHED": (5, 0.25),
    }


def test_what_needs_the_server_says_so(server: Server, dead: None) -> None:
    with pytest.raises(store.Unreachable), child_run("register", "register", late=True):
        pass
    assert store.kept_folder() is None


def test_a_refusal_of_the_server_is_no_absence(server: Server) -> None:
    with pytest.raises(EchosynthError, match="not found") as caught:
        RunLogger("0" * 32, "", store.connect()).metrics({"loss": 1.0})
    assert not isinstance(caught.value, store.Unreachable)


def test_without_a_server_setting_nothing_is_sent(workspace: Path) -> None:
    assert offline.send() == 0
