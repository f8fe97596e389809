"""Being asked to go: SIGTERM as an exception, so that what has begun can be ended in order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM
from types import FrameType


class Terminated(BaseException):
    """SIGTERM, raised as an exception so that the run is marked before the process goes."""


@contextmanager
def termination_as_exception() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM inside the block, unless somebody handles that signal already.

    Another SIGTERM until the block has ended, as from a scheduler that asks each process of a group, changes nothing.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(SIGTERM, signal.SIG_DFL)


@contextmanager
def deferred() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM take effect when the block has ended, not in its middle, where that would do harm."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda given, _: came.append(given)) for number in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
