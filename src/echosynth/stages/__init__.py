"""DVC stages, one short module each: read parameters and inputs, call one function, write outputs, log."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import overload

from echosynth.config import Params, load_params
from echosynth.errors import EchosynthError

Work = Callable[..., None]
Command = Callable[[], None]


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
        several_processes: one process for each GPU shares the work, see `echosynth.launch`.
    """
    if function is None:
        return partial(_command, several_processes=several_processes)
    return _command(function, several_processes)


def _command(function: Work, several_processes: bool) -> Command:
    def command() -> None:
        try:
            params: Params = load_params()
            if several_processes:
                from echosynth.launch import join, shared

                status = shared(sys.modules["__main__"].__spec__.name, sys.argv[1:])  # type: ignore[union-attr]
                if status is not None:
                    sys.exit(status)
                join()
            try:
                function(params, *sys.argv[1:])
            except BaseException as error:
                _mark_failed(error)
                raise
        except EchosynthError as error:
            sys.exit(f"error: {error}")

    command.__doc__ = function.__doc__
    return command


def _mark_failed(error: BaseException) -> None:
    """Say in the row of this execution why it ends; most stages have no run of their own that would."""
    if os.environ.get("RANK", "0") == "0":
        with suppress(Exception):  # the first error is the one to report
            from echosynth.track.runs import fail_parent  # MLflow takes seconds, which only a failure spends

            fail_parent(error)
