"""Pieces of work of one stage side by side: a process for each GPU, else one for each processor core."""

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal, TypeVar

import joblib
import torch

from echosynth.common.errors import EchosynthError
from echosynth.common.files import full_disk_explained
from echosynth.common.launch import PROCESSES, wanted_processes
from echosynth.common.termination import Terminated, termination_as_exception
from echosynth.compute.threads import chosen_by_user, with_threads

Task = TypeVar("Task")
GRACE_SECONDS = 60.0  # a worker that is asked to go tells MLflow, whose server may be slow


def side_by_side(work: Callable[[Task], None], tasks: Mapping[str, Task], imports: Sequence[str] = ()) -> None:
    """Call `work` on every task, in as many processes as `wanted_processes` says, one for each core where there is no
    GPU; each takes the next task as soon as it is free. Where one process is enough this one does all.

    On a CPU each has one thread of PyTorch, also where there is one process, unless `OMP_NUM_THREADS` says otherwise:
    the bits of a result depend neither on the number of cores nor on what runs beside it. Worker k has the GPU k
    (`LOCAL_RANK`). What this process holds is shared with workers on a CPU, which are forked from it: nothing may have
    been computed with PyTorch or written to a database before. Workers end with this process, however it ends.

    Args:
        work: what a process can be sent, with the task: a function of a module, or a partial of one.
        tasks: by name, such as "resnet18 mixed 500 seed 0".
        imports: modules that `work` imports at some time, which takes seconds; this process does so once for all that
            are forked from it.

    Raises:
        EchosynthError: a worker was killed, or `work` raised one, whose sentence begins with the name of the task then.
        Terminated: SIGTERM came; the workers have been asked to go.
        RuntimeError: `work` raised something else, whose traceback is on stderr.
    """
    count = min(len(tasks), wanted_processes(joblib.cpu_count()))
    if chosen_by_user():
        threads = torch.get_num_threads()
    else:
        threads = max(1, joblib.cpu_count() // max(1, count)) if torch.cuda.is_available() else 1
    if count > 1:
        with termination_as_exception():
            _share(work, tasks, count, threads, _method(imports))
    else:
        with with_threads(threads):
            for task in tasks.values():
                work(task)


def _method(imports: Sequence[str]) -> Literal["fork", "spawn"]:
    """How workers are started. CUDA does not survive a fork, nor do the libraries of some systems."""
    if torch.cuda.is_available() or sys.platform != "linux":
        return "spawn"
    for name in imports:
        importlib.import_module(name)
    return "fork"


def _share(work: Callable[[Task], None], tasks: Mapping[str, Task], count: int, threads: int, method: str) -> None:
    context, left = get_context(method), iter(tasks.items())
    workers: list[BaseProcess] = []
    busy: dict[Connection, tuple[str, BaseProcess]] = {}

    def hand_out(link: Connection, worker: BaseProcess) -> None:
        name, task = next(left, ("", None))
        with suppress(OSError):  # it is dead, which shows when it is waited for
            link.send(task)
        if name:
            busy[link] = name, worker

    try:
        for number in range(count):
            here, there = context.Pipe()
            worker = context.Process(target=_worker, args=(work, number, threads, there))  # type: ignore[attr-defined]
            workers.append(worker)  # before its start: a signal may come between the two
            worker.start()
            there.close()  # so that the end of the worker is the end of the pipe
            hand_out(here, worker)
        while busy:
            for link in connection.wait(list(busy)):
                assert isinstance(link, Connection)
                name, worker = busy.pop(link)
                _raise_failure(name, worker, link)
                hand_out(link, worker)
        for worker in workers:
            worker.join()
    finally:
        _end(workers)


def _raise_failure(name: str, worker: BaseProcess, link: Connection) -> None:
    """Raise what went wrong with the task of this name, if anything did."""
    try:
        error = link.recv()
    except (EOFError, OSError):
        worker.join(GRACE_SECONDS)
        killed = worker.exitcode == -signal.SIGKILL
        reason, help_ = (
            ("killed, most often because memory ran out", f", maybe with {PROCESSES}=1 in the environment")
            if killed
            else (f"told to go (exit status {worker.exitcode})", "")
        )
        raise EchosynthError(f"{name}: its process was {reason}; run again{help_}: what was finished is kept") from None
    if isinstance(error, EchosynthError):
        raise EchosynthError(f"{name}: {error}")
    if error:
        raise error


def _end(workers: list[BaseProcess]) -> None:
    """Ask the workers that are still there to go, and see that they do, all within the same time."""
    workers = [worker for worker in workers if worker.pid]
    for worker in workers:
        worker.terminate()
    end = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
        worker.kill()
        worker.join()


def _worker(work: Callable[[Task], None], number: int, threads: int, link: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked process has the handler of the first one
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal: the first one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["LOCAL_RANK"] = str(number)
    torch.set_num_threads(threads)
    try:
        with termination_as_exception(), full_disk_explained():
            for task in _received(link):
                work(task)
                link.send(None)
    except Terminated:
        sys.exit(128 + signal.SIGTERM)
    except EchosynthError as error:
        link.send(error)
    except Exception as error:
        traceback.print_exc()
        link.send(RuntimeError(f"{type(error).__name__}: {error}"))  # what it is may not be fit to be sent


def _received(link: Connection) -> Iterator[Any]:
    """The tasks, until the other end says that there are no more, or is gone."""
    with suppress(EOFError):
        while (task := link.recv()) is not None:
            yield task


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, and end this one."""
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)
