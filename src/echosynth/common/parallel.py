"""The same work on all cores of this machine or on a Dask cluster, through joblib."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib

from echosynth.common.errors import EchosynthError
from echosynth.common.options import Workers

Task = TypeVar("Task")
Result = TypeVar("Result")
LOCAL_DASK_WORKERS = 2
CONNECT_SECONDS = 15
DIED = (
    "a process that decoded files died, most often because memory ran out; "
    "lower ingest.workers and run again: finished files are kept"
)
GONE = "the Dask scheduler went away; start it again and run again: finished files are kept"


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A client of the Dask scheduler at `address`; empty: of a cluster of two processes on this machine."""
    try:
        import distributed
    except ImportError:
        raise EchosynthError("ingest.backend is dask, but Dask is not installed: pip install distributed") from None
    # What it logs over lost workers and schedulers are stack traces; the errors raised here are sentences.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not address:
        with (
            distributed.LocalCluster(
                n_workers=LOCAL_DASK_WORKERS,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs="CRITICAL",
            ) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return

    async def greet() -> None:
        # A client that fails to connect leaves threads behind which complain at the end.
        comm = await asyncio.wait_for(distributed.comm.connect(address, timeout=CONNECT_SECONDS), CONNECT_SECONDS)
        await comm.close()

    try:
        asyncio.run(greet())
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120] or "no answer"
        raise EchosynthError(
            f"ingest.dask_scheduler: no Dask scheduler answers at {address} ({reason}); start one or correct the "
            "address"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise EchosynthError(
                f"ingest.dask_scheduler: the Dask scheduler at {address} has no workers; start some with "
                f"dask worker {address}"
            ) from None
        yield client


def _dask_backend(client: Any) -> Any:
    """joblib's Dask back end without two habits of it (joblib 1.6): it waits for ever for a task whose worker died, and
    works in this process when the cluster has but one worker."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
            return future

        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, super().effective_n_jobs(n_jobs))

    return Backend(client=client)


def _on_dask(function: Callable[[Task], Result], tasks: Iterable[Task], address: str) -> Iterator[Result]:
    with _client(address) as client:
        from distributed import KilledWorker

        parallel = joblib.Parallel(backend=_dask_backend(client), return_as="generator_unordered", batch_size=1)
        try:
            yield from parallel(joblib.delayed(function)(task) for task in tasks)
        except KilledWorker:
            raise EchosynthError(DIED) from None
        except CancelledError:
            raise EchosynthError(GONE) from None


def run(function: Callable[[Task], Result], tasks: Iterable[Task], params: Workers) -> Iterator[Result]:
    """Call `function` on every task, in several processes.

    Args:
        function: of a module that the processes can import.
        tasks: taken one by one, a few ahead of the work.
        params: backend, dask_scheduler and workers of section ingest.

    Returns:
        The results as they come, in any order.

    Raises:
        EchosynthError: the Dask scheduler cannot be reached, or a process died. Whatever `function` raises.
    """
    if params.backend == "dask":
        yield from _on_dask(function, tasks, params.dask_scheduler)
        return
    parallel = joblib.Parallel(
        n_jobs=params.workers or joblib.cpu_count(), return_as="generator_unordered", batch_size=1
    )
    try:
        yield from parallel(joblib.delayed(function)(task) for task in tasks)
    except BrokenExecutor:
        raise EchosynthError(DIED) from None
