"""DVC stages, one short module each: read parameters and inputs, call one function, write outputs, log."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import overload

from echosynth.common.errors import EchosynthError
from echosynth.common.files import full_disk_explained
from echosynth.common.resume import alone
from echosynth.common.termination import Terminated
from echosynth.config.parameters import Params, load_params

Work = Callable[..., None]
Command = Callable[[], None]
# Stages that read raw files, whose names may be those of patients.
RAW = ("phantom", "screen", "ingest", "card", "cine")


@overload
def stage(function: Work) -> Command: ...
@overload
def stage(*, several_processes: bool) -> Callable[[Work], Command]: ...
def stage(function: Work | None = None, *, several_processes: bool = False) -> Command | Callable[[Work], Command]:
    """Make a stage's command out of a function of the parameters and the words on the command line.

    All of params.yaml is checked before anything else. An EchosynthError is one sentence on the terminal and exit
    status 1.

    Args:
        function: the work.
        several_processes: one process for each GPU shares the work, see `echosynth.common.launch`.
    """
    if function is None:
        return partial(_command, several_processes=several_processes)
    return _command(function, several_processes)


def _command(function: Work, several_processes: bool) -> Command:
    def command() -> None:
        name = _name(function)
        gc.freeze()  # what was imported stays: not to be looked through for garbage, nor when the process ends
        try:
            with _failure_marked(name):
                params: Params = load_params()
            with _failure_marked(name, private=name in RAW), full_disk_explained(), _alone(name):
                if several_processes:
                    from echosynth.common.launch import join, shared

                    status = shared(sys.modules["__main__"].__spec__.name, sys.argv[1:])  # type: ignore[union-attr]
                    if status is not None:
                        sys.exit(status)
                    join()
                function(params, *sys.argv[1:])
        except EchosynthError as error:
            sys.exit(f"error: {error}")
        except Terminated:
            sys.exit(128 + signal.SIGTERM)

    command.__doc__ = function.__doc__
    return command


def _name(function: Work) -> str:
    """Last word of the stage's module, which is also its name in MLflow."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.name if function.__module__ == "__main__" and spec else function.__module__
    return str(module).rpartition(".")[2]


def _alone(name: str) -> AbstractContextManager[None]:
    """Hold a lock on this stage of this tree: a stage goes on when the `dvc` above it is killed alone, and the next one
    must not write beside it. The processes of one stage are under the lock of the first."""
    if "RANK" in os.environ:
        return nullcontext()
    words = "-".join([name, *sys.argv[1:]]).replace("/", "_")
    return alone(Path(".resume") / f"stage-{words}.lock")


@contextmanager
def _failure_marked(name: str, *, private: bool = False) -> Iterator[None]:
    """Say in the row of this execution why it ends; most stages have no run of their own that would."""
    try:
        yield
    except SystemExit:
        raise  # another process of this stage has said why, or its run has
    except BaseException as error:
        if os.environ.get("RANK", "0") == "0":
            with suppress(Exception):  # the first error is the one to report
                from echosynth.tracking.runs import fail_parent  # MLflow takes seconds, which only a failure spends

                fail_parent(error, name, private=private)
        raise
