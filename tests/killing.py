"""Processes killed from outside, as by a scheduler or by a lack of memory, and dead before a test goes on."""

import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

DEADLINE = 1800.0  # seconds, beyond what the slowest machine needs


def kill(processes: Sequence[psutil.Process]) -> None:
    """Kill what of these processes is there, all at once, so that none sees another one go, and wait for their ends."""
    for end in (psutil.Process.suspend, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.Error):
                end(process)
    wait_dead(processes)


def wait_dead(processes: Sequence[psutil.Process]) -> None:
    """Wait until none of these processes runs any more: a signal is sent at once, and a large process dies slowly."""
    until = time.monotonic() + DEADLINE
    while left := [process for process in processes if not dead(process)]:
        assert time.monotonic() < until, f"not dead within {DEADLINE:.0f} s: {left}"
        time.sleep(0.01)


def dead(process: psutil.Process) -> bool:
    """Whether a process has ended, also where nobody has asked yet how."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
