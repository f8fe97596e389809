"""Which process a run belongs to, and whether that process is still there."""

import json
import platform
from contextlib import suppress
from multiprocessing import parent_process
from pathlib import Path

import psutil  # type: ignore[import-untyped]

PROCESS = "echosynth.process"  # tag of every run
SAME_START = 5.0  # seconds; a process that started at another time has been given a number that was free again


def mine() -> str:
    """This process, as text for the tag."""
    return _text(psutil.Process())


def driver() -> str:
    """The process that runs this execution's stages one after another, as text for the tag: the nearest `dvc` above
    this one, else whatever started the stage, which may be above a worker of the stage.

    Between two stages no stage's process is there, so an execution cannot be told by theirs.
    """
    above = psutil.Process().parents()[1 if parent_process() else 0 :]
    for process in [*filter(_is_dvc, above), *above]:
        with suppress(psutil.Error):  # it has gone meanwhile
            return _text(process)
    return mine()


def _is_dvc(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # another user's, such as the one that logs people in, may not be asked everywhere
        return any(Path(word).name in ("dvc", "dvc.exe") for word in process.cmdline()[:3])
    return False


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
