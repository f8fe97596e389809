"""The tracking server of docs/teams.md: PostgreSQL, an S3-compatible bucket, several writers, members, backups."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.teams.page import PARAMS, WORKER, clean_environment, documented, shell
from tests.teams.servers import PASSWORD, Bucket, Postgres, free_port, running

from echosynth.common.errors import EchosynthError
from echosynth.registry import versions as registry
from echosynth.registry.copies import load_registered
from echosynth.tracking import answers, store
from echosynth.tracking.runs import finish_parent

WORKERS = 4
POINTS = 20


@dataclass(frozen=True)
class Server:
    """A tracking server that runs.

    Attributes:
        url: its address.
        folder: where it was started.
        home: home folder of a member, empty.
    """

    url: str
    folder: Path
    home: Path


@pytest.fixture(scope="module")
def server(
    database: str, bucket: Bucket, preloaded: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The server for one machine, empty at the start."""
    folder, home, port = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("home"), free_port()
    (folder / "server.env").write_text("".join(documented("The server", bucket.words(), "ini")))
    [command] = documented("The server", {"127.0.0.1:5432": database, "--port 5000": f"--port {port}"})
    url = f"http://127.0.0.1:{port}"
    with running(command, folder, url, clean_environment(home)):
        yield Server(url, folder, home)


@pytest.fixture
def member(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process in a workspace of its own, with nothing but the server's address."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")  # slow is not gone
    monkeypatch.setattr(answers, "PROBE_SECONDS", 600)
    [lines] = documented("On a member's machine", {}, "sh")
    for name, _, value in (line.partition("=") for line in lines.splitlines() if "_PROXY_" in line):
        monkeypatch.setenv(name, value)  # the bucket is the server's alone
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def work(server: Server, workspaces: Sequence[Path], gate: Path, **more: str) -> None:
    """Let a worker run in each of these workspaces, all at once, and wait until all have ended well."""
    gate.mkdir()
    base = clean_environment(server.home) | {"MLFLOW_TRACKING_URI": server.url} | more
    workers = []
    for number, workspace in enumerate(workspaces):
        log = (gate / f"log-{number}").open("wb")
        environment = base | {"DVC_ROOT": str(workspace)}
        words = ["python", str(WORKER), str(number), str(POINTS), str(gate)]
        workers.append(subprocess.Popen(words, cwd=workspace, env=environment, stdout=log, stderr=log))
        log.close()
    until = time.monotonic() + 1800
    while len(list(gate.glob("ready-*"))) < len(workspaces):
        assert time.monotonic() < until, "the workers did not start within 1800 s"
        assert all(worker.poll() in (None, 0) for worker in workers), (gate / "log-0").read_text()[-2000:]
        time.sleep(0.05)
    (gate / "open").touch()
    for number, worker in enumerate(workers):
        assert worker.wait(1800) == 0, (gate / f"log-{number}").read_text()[-3000:]


def runs_below(workspaces: set[str]) -> tuple[list[Any], list[Any]]:
    """Parents and children that came from executions with these names, in this order."""
    found = store.client().search_runs([store.connect().experiment], max_results=1000)
    mine = [run for run in found if run.data.tags.get("dvc.exp_name") in workspaces]
    parents = [run for run in mine if run.data.tags["echosynth.stage"] == "pipeline"]
    children = [run for run in mine if run.data.tags["echosynth.stage"] != "pipeline"]
    return parents, sorted(children, key=lambda run: str(run.info.run_name))


def check_children(children: Sequence[Any], folder: Path) -> None:
    """Every parameter, point, data set and byte that the workers wrote is there, once."""
    client = store.client()
    assert [run.info.run_name for run in children] == [f"worker {number}" for number in range(WORKERS)]
    for number, run in enumerate(children):
        assert run.info.status == "FINISHED"
        assert run.data.params == {"classifier.seed": str(number), "classifier.learning_rate": str(0.1 * number)}
        losses = client.get_metric_history(run.info.run_id, "loss")
        assert sorted((point.step, point.value) for point in losses) == [
            (step, number + 1 / (step + 1)) for step in range(POINTS)
        ]
        assert len(client.get_metric_history(run.info.run_id, "macro_auprc")) == POINTS
        [data] = run.inputs.dataset_inputs
        assert data.dataset.digest == f"{number:032x}.dir"
        fetched = client.download_artifacts(run.info.run_id, f"curves/curve-{number}.csv", str(folder))
        assert Path(fetched).read_text() == f"worker {number}\n" * 1000


@pytest.mark.slow
def test_four_machines_start_on_an_empty_server_and_nothing_is_lost(
    server: Server, bucket: Bucket, member: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machines = [tmp_path_factory.mktemp(f"machine-{number}") for number in range(WORKERS)]
    for machine in machines:
        (machine / "params.yaml").write_text(PARAMS)
    # An execution on each machine, without a name from DVC: the parameters tell them apart.
    for number, machine in enumerate(machines):
        (machine / "params.yaml").write_text(f"{PARAMS}machine: {number}\n")
    work(server, machines, member / "gate")
    found = store.client().search_runs([store.connect().experiment], max_results=1000)
    parents = [run for run in found if run.data.tags["echosynth.stage"] == "pipeline"]
    children = sorted((run for run in found if run not in parents), key=lambda run: str(run.info.run_name))
    assert sorted(run.data.params["machine"] for run in parents) == ["0", "1", "2", "3"]
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == WORKERS
    check_children(children, member)
    # The server put them into the bucket; the members have no key.
    assert sum(name.endswith(".csv") for name in bucket.names("echosynth-mlflow")) >= WORKERS


@pytest.mark.slow
def test_four_workers_of_one_machine_share_one_parent(
    server: Server, member: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(server, [member] * WORKERS, member / "gate", DVC_EXP_NAME="shared")
    monkeypatch.setenv("DVC_EXP_NAME", "shared")
    parent = finish_parent({"test_macro_auprc": 0.9}, {"split": {"seed": 3}, "classifier": {"seed": 0}})
    [row], children = runs_below({"shared"})
    assert row.info.run_id == parent
    assert row.info.status == "FINISHED"
    assert row.data.params == {"split.seed": "3", "classifier.seed": "0"}
    assert row.data.metrics["test_macro_auprc"] == 0.9
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent}
    check_children(children, member)


@pytest.mark.slow
def test_runs_of_a_time_without_server_are_sent_later(server: Server, member: Path) -> None:
    everything = clean_environment(server.home) | {"DVC_ROOT": str(member)}
    (member / "open").touch()
    shell("git init -q . && dvc init -q && git add params.yaml .dvc && git commit -qm start", member, everything)
    (member / "params.yaml").write_text(f"{PARAMS}away: 1\n")
    gone = everything | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    said = shell(f"python {WORKER} 0 {POINTS} .", member, gone).stdout
    assert "`echosynth sync` sends them later" in said
    [command] = documented("When the server is away", {"echosynth": "python -m echosynth.cli"})
    for _ in range(2):
        # It ends with a complaint: there is no finished pipeline here whose rows could be rebuilt.
        shell(command, member, everything | {"MLFLOW_TRACKING_URI": server.url}, check=False)
        found = store.client().search_runs([store.connect().experiment], "params.away = '1'")
        below = f"tags.`mlflow.parentRunId` = '{found[0].info.run_id}'"
        [child] = store.client().search_runs([store.connect().experiment], below)
        assert len(found) == 1
        assert sorted(point.step for point in store.client().get_metric_history(child.info.run_id, "loss")) == [
            *range(POINTS)
        ]


@pytest.mark.slow
def test_registered_model_comes_back_by_its_alias(server: Server, member: Path, classifier_folder: Path) -> None:
    client = store.client()
    run = client.create_run(store.connect().experiment, run_name="register").info
    client.log_artifacts(run.run_id, str(classifier_folder), "model/artifacts/classifier")
    client.create_registered_model(registry.NAME)
    tags = {registry.SHA: registry.file_hash(classifier_folder / "model.safetensors")}
    version = client.create_model_version(registry.NAME, f"{run.artifact_uri}/model", run.run_id, tags=tags)
    client.set_registered_model_alias(registry.NAME, "champion", version.version)
    fetched = load_registered("champion")
    assert fetched.is_relative_to(Path(os.environ.get("DVC_ROOT", member)))
    for name in ("model.safetensors", "card.json"):
        assert (fetched / name).read_bytes() == (classifier_folder / name).read_bytes()


@pytest.mark.slow
def test_server_answers_to_no_name_that_was_not_listed(server: Server) -> None:
    request = urllib.request.Request(f"{server.url}/version", headers={"Host": "mlflow.hospital.example"})
    with urllib.request.urlopen(request) as answer:  # says nothing about anybody
        assert answer.status == 200
    request = urllib.request.Request(f"{server.url}/", headers={"Host": "mlflow.hospital.example:5000"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403
    assert b"Invalid Host header" in refused.value.read()


@pytest.mark.slow
def test_backup_brings_every_row_back(server: Server, database: str, postgres: Postgres, member: Path) -> None:
    with_password = postgres.administrator | {"PGPASSWORD": PASSWORD}
    run = store.client().create_run(store.connect().experiment, run_name="before the backup").info.run_id
    dump, restore = documented("Backups", {"127.0.0.1:5432": database})
    shell(dump, member, with_password)
    shell(restore, member, with_password)
    count = "psql --tuples-only --no-align --command 'SELECT count(*) FROM runs' --dbname "
    mlflow, restored = (int(shell(count + name, member, with_password).stdout) for name in ("mlflow", "restored"))
    assert mlflow == restored > 0
    found = (
        f"psql --tuples-only --no-align --command \"SELECT name FROM runs WHERE run_uuid = '{run}'\" --dbname restored"
    )
    assert shell(found, member, with_password).stdout.strip() == "before the backup"


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql+psycopg2://me:hidden@{}/mlflow",
        "postgresql+psycopg2://me:hid/den@{}/mlflow",
        "postgresql+psycopg2://me:h%40idden@{}/mlflow",
        "postgresql+psycopg2://me:hid@den@{}/mlflow",
        "postgresql+psycopg2://{}/mlflow?user=me&password=hidden",
    ],
)
def test_dead_database_is_one_sentence_at_once_and_without_its_password(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg2", reason="psycopg2-binary not installed; see requirements-extra.txt")
    import mlflow.store.db.utils as database_of_mlflow

    def never(seconds: float) -> None:
        raise AssertionError("mlflow tries again, for two minutes in all")

    monkeypatch.setattr(database_of_mlflow.time, "sleep", never)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(f"127.0.0.1:{free_port()}"))
    with pytest.raises(EchosynthError, match=r"^MLflow at postgresql.* cannot be used: ") as caught:
        store.connect()
    assert "\n" not in str(caught.value)
    assert not any(part in str(caught.value) for part in ("hid", "den@", "den"))
