import http.server
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from echosynth.common.errors import EchosynthError
from echosynth.tracking import store
from echosynth.tracking.runs import child_run


def test_default_store_is_in_the_workspace_and_not_in_the_working_directory(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "repo").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(bare / "repo"))
    assert store.tracking_uri() == f"sqlite:///{bare / 'repo' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    assert store.tracking_uri() == "http://elsewhere:5000"


def test_experiment_is_made_once_with_artifacts_beside_the_store(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    elsewhere = tmp_path_factory.mktemp("temporary-copy")
    monkeypatch.chdir(elsewhere)
    first = store.connect().experiment
    store._stores.clear()  # as in another process
    assert store.connect().experiment == first
    experiment = store.client().get_experiment(first)
    assert experiment.name == "echosynth"
    assert experiment.artifact_location == (workspace / "mlartifacts").as_uri()
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("given", ["sqlite:///mlflow.db", "sqlite:///runs/mine.db"])
def test_a_relative_address_counts_from_the_workspace(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Not from the folder of an experiment, which is deleted."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    monkeypatch.chdir(elsewhere)
    assert store.connect().uri == f"sqlite:///{workspace}/{given.removeprefix('sqlite:///')}"
    assert (store.local_database() == workspace / "mlflow.db") is (given == "sqlite:///mlflow.db")
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("given", ["http://server:5000", "postgresql://u:p@server/runs", "sqlite:////data/runs.db"])
def test_other_addresses_stay_as_they_are(workspace: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert store.tracking_uri() == given
    assert store.local_database() is None


@pytest.mark.parametrize("name", ["what?", "50%20off"])
def test_a_folder_whose_name_no_address_can_hold_is_named(
    bare: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (bare / name).mkdir()
    monkeypatch.chdir(bare / name)
    with pytest.raises(EchosynthError, match=rf"{re.escape(name)} has [?%] in its name, .*; rename the folder"):
        store.connect()
    assert [path.name for path in bare.rglob("*")] == [name]


@pytest.mark.parametrize("name", ["a study", "Zürich", "no#1", "o'hara"])
def test_other_names_of_folders_are_fine(
    bare: Path, monkeypatch: pytest.MonkeyPatch, migrated: Path, name: str
) -> None:
    (bare / name).mkdir()
    monkeypatch.chdir(bare / name)
    shutil.copy(migrated, "mlflow.db")
    place = store.connect()
    assert place.client.get_experiment(place.experiment).artifact_location == (bare / name / "mlartifacts").as_uri()


def test_connecting_leaves_the_environment_alone(workspace: Path) -> None:
    store.connect()
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_a_store_whose_making_was_killed_is_made_anew(bare: Path, python: Path) -> None:
    for seconds in (0.3, 0.8, 1.4):
        process = subprocess.Popen([python, "-c", "from echosynth.tracking import store; store.connect()"], cwd=bare)
        time.sleep(seconds)
        process.kill()
        process.wait()
    assert store.connect().client.get_experiment_by_name("echosynth") is not None


def test_a_store_is_there_whole_or_not_at_all(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "mlflow.db").touch()  # what an earlier kill may have left
    seen = []

    def killed(self: object) -> None:
        seen.extend(path.name for path in bare.iterdir() if path.is_file())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.search_experiments", killed)
        with pytest.raises(KeyboardInterrupt):
            store.connect()
    assert seen == ["mlflow.db"] and not (bare / "mlflow.db").stat().st_size
    assert not list(bare.glob("mlflow-*"))
    assert store.connect().client.search_experiments()


def test_damaged_database_is_one_sentence(bare: Path) -> None:
    (bare / "mlflow.db").write_bytes(b"no database at all " * 100)
    with pytest.raises(EchosynthError, match=r"mlflow\.db cannot be used: file is not a database; .* run again$"):
        store.connect()


def test_read_only_database_is_one_sentence(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(  # a mode that holds for the superuser too, under whom tests may run
        sqlite3, "connect", lambda path, **options: connect(f"file:{path}?mode=ro", uri=True, **options)
    )
    with pytest.raises(EchosynthError, match="cannot be used: attempt to write a readonly database;"):
        store.connect()


def test_full_disk_is_one_sentence(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """SQLite says the same of a database that may not grow any more as of a full disk."""
    full = False

    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {1 if full else 1_000_000_000}")  # as it is, where that is more

    event.listen(Pool, "checkout", limit)
    try:
        sentence = rf"^cannot write sqlite:///{workspace}/mlflow.db: the disk is full; free some room and run again$"
        with pytest.raises(EchosynthError, match=sentence), child_run("a", "train") as run:
            full = True
            run.metrics({f"loss {number}": 0.5 for number in range(1000)})
    finally:
        event.remove(Pool, "checkout", limit)
    assert "Traceback" not in capfd.readouterr().err


def test_dead_server_is_one_sentence_without_its_password(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(store.Unreachable, match="cannot be used") as caught:
            store.connect()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_server_behind_a_proxy_that_finds_it_gone_does_not_answer(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(502)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(store.Unreachable, match="502"):
                store.connect()
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        ("feedfacecafe", "was written by a newer MLflow .* install that version or move the store away"),
        ("451aebb31d03", "was written by an older MLflow .* run `mlflow db upgrade sqlite:///"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_database_of_another_schema_is_named_with_the_way_out(
    workspace: Path, revision: str, sentence: str, whole: bool
) -> None:
    if revision == "451aebb31d03" and not whole:
        pytest.skip("MLflow brings an older database that lacks tables up to date itself")
    with closing(sqlite3.connect(workspace / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        if not whole:
            database.execute("DROP TABLE input_tags")
        database.commit()
    with pytest.raises(EchosynthError, match=sentence) as caught:
        store.connect()
    assert "\n" not in str(caught.value)


def test_server_decides_where_its_artifacts_go(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Recorder(http.server.BaseHTTPRequestHandler):
        bodies: list[bytes] = []  # noqa: RUF012

        def do_GET(self) -> None:
            found = self.path == "/health"
            self.answer(200 if found else 404, b"OK" if found else b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}')

        def do_POST(self) -> None:
            self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(200, b'{"experiment_id": "7"}')

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        try:
            assert store.connect().experiment == "7"
        finally:
            server.shutdown()
    assert b"echosynth" in Recorder.bodies[0]
    assert b"artifact_location" not in Recorder.bodies[0]


def test_deleted_experiment_is_named_with_the_way_back(workspace: Path) -> None:
    number = store.connect().experiment
    store.client().delete_experiment(number)
    store._stores.clear()
    with pytest.raises(EchosynthError, match=f"restore --experiment-id {number}"):
        store.connect()


def test_lock_may_be_taken_again_by_its_holder(bare: Path) -> None:
    with store.lock(), store.lock():
        assert (bare / ".resume" / "track.lock").exists()
