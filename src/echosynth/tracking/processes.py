"""Which process a run belongs to, and whether that process is still there."""

import json
import platform
from contextlib import suppress
from itertools import dropwhile, takewhile
from multiprocessing import parent_process
from pathlib import Path

import psutil  # type: ignore[import-untyped]

PROCESS = "echosynth.process"  # tag of every run
DVC, MAKE, BELOW_MAKE = {"dvc", "dvc.exe"}, {"make", "gmake"}, {"ninja", "sh", "bash", "dash"}
SAME_START = 5.0  # seconds; a process that started at another time has been given a number that was free again


def mine() -> str:
    """This process, as text for the tag."""
    return _text(psutil.Process())


def driver() -> str:
    """The process that runs this execution's stages, as text for the tag: the nearest `dvc` above this one, or the
    `make` that runs a `dvc` for each; else whatever started the stage, which may be above a worker of the stage.

    Between two stages no stage's process is there, so an execution cannot be told by theirs.
    """
    above = psutil.Process().parents()[1 if parent_process() else 0 :]
    from_dvc = list(dropwhile(lambda process: not _words(process) & DVC, above))
    recipes = list(takewhile(lambda process: _words(process) & (MAKE | BELOW_MAKE), from_dvc[1:]))
    outermost_make = [process for process in recipes if _words(process) & MAKE][-1:]
    for process in [*outermost_make, *from_dvc[:1], *above]:
        with suppress(psutil.Error):  # it has gone meanwhile
            return _text(process)
    return mine()


def _words(process: psutil.Process) -> set[str]:
    """The first words of a command, without folders: a program may be the second, after its interpreter."""
    with suppress(psutil.Error):  # another user's, such as the one that logs people in, may not be asked everywhere
        return {Path(word).name for word in process.cmdline()[:3]}
    return set()


def gone(tag: str) -> str:
    """Say which process is gone, or nothing when it is there, or is one of another machine, or is not known.

    Args:
        tag: what `mine` or `driver` gave.
    """
    try:
        known = json.loads(tag)
        host, number, start = str(known["host"]), int(known["pid"]), float(known["start"])
    except (ValueError, TypeError, KeyError):
        return ""
    if host != platform.node():
        return ""
    with suppress(psutil.NoSuchProcess):
        try:
            process = psutil.Process(number)
            if abs(process.create_time() - start) < SAME_START and process.status() != psutil.STATUS_ZOMBIE:
                return ""
        except psutil.AccessDenied:
            return ""
    return f"process {number} on {host}"


def _text(process: psutil.Process) -> str:
    facts = {"host": platform.node(), "pid": process.pid, "start": round(process.create_time(), 2)}
    return json.dumps(facts, sort_keys=True)
