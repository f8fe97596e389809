"""Which process a run belongs to, whether that process is still there, and how it is asked to go."""

import json
import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil  # type: ignore[import-untyped]

PROCESS = "echosynth.process"  # tag of every run
SAME_START = 5.0  # seconds; a process that started at another time has been given a number that was free again


class Terminated(BaseException):
    """SIGTERM, raised as an exception so that the run is marked before the process goes."""


def mine() -> str:
    """This process, as text for the tag."""
    return _text(psutil.Process())


def driver() -> str:
    """The process that runs this execution's stages one after another, as text for the tag: the nearest `dvc` above
    this one, else whatever started this one.

    Between two stages no stage's process is there, so an execution cannot be told by theirs.
    """
    above = psutil.Process().parents()
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


@contextmanager
def termination_as_exception() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM inside the block, unless somebody handles that signal already."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
