import math
import os
import socket
from pathlib import Path

import pytest

from echosynth.common import parallel as workers
from echosynth.common.errors import EchosynthError
from echosynth.common.parallel import run


@pytest.fixture
def ingest_params(params_with):
    return lambda **changes: params_with(ingest=changes).ingest


@pytest.mark.parametrize("count", [1, 2])
def test_processes(ingest_params, count):
    assert sorted(run(math.sqrt, (float(n * n) for n in range(20)), ingest_params(workers=count))) == list(range(20))


def test_errors_of_the_work_come_through(ingest_params):
    with pytest.raises(ValueError, match="math domain error"):
        list(run(math.sqrt, [1.0, -1.0], ingest_params(workers=2)))


def test_a_process_that_dies_is_one_sentence(ingest_params):
    with pytest.raises(EchosynthError, match="a process that decoded files died"):
        list(run(os._exit, [3, 3], ingest_params(workers=2)))


@pytest.mark.slow
def test_a_dask_cluster_on_this_machine(ingest_params):
    assert sorted(run(math.sqrt, (float(n * n) for n in range(20)), ingest_params(backend="dask"))) == list(range(20))
    with pytest.raises(ValueError, match="math domain error"):
        list(run(math.sqrt, [1.0, -1.0], ingest_params(backend="dask")))


@pytest.mark.slow
def test_a_dask_worker_that_dies_is_one_sentence(ingest_params):
    with pytest.raises(EchosynthError, match="a process that decoded files died"):
        list(run(os._exit, [3], ingest_params(backend="dask")))


@pytest.mark.slow
def test_a_dask_scheduler_by_its_address(ingest_params):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL") as cluster:
        params = ingest_params(backend="dask", dask_scheduler=cluster.scheduler_address)
        assert list(run(math.sqrt, [4.0], params)) == [2.0]
        # Even a lone worker works there, not here.
        here = Path("/proc/self")
        assert here.readlink() not in set(run(Path.readlink, [here] * 4, params))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1", "nonsense://there", "silent"])
def test_a_scheduler_that_cannot_be_reached_is_named(ingest_params, monkeypatch, address):
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts and says nothing
        if address == "silent":
            address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(EchosynthError, match=f"dask_scheduler: no Dask scheduler answers at {address}") as error:
            list(run(math.sqrt, [1.0], ingest_params(backend="dask", dask_scheduler=address)))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_scheduler_without_workers_is_named(ingest_params, monkeypatch):
    from distributed import Client, LocalCluster

    wait = Client.wait_for_workers
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 600)  # the scheduler answers, however slow the machine is
    monkeypatch.setattr(Client, "wait_for_workers", lambda self, count, timeout: wait(self, count, timeout=1))
    with LocalCluster(n_workers=0, dashboard_address=None, silence_logs="CRITICAL") as cluster:
        params = ingest_params(backend="dask", dask_scheduler=cluster.scheduler_address)
        with pytest.raises(EchosynthError, match="has no workers; start some"):
            list(run(math.sqrt, [1.0], params))
