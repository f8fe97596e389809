"""How many threads compute: no more than there are cores, and one where others use them too."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from statistics import median

import joblib
import torch

WINDOW = 5
SLOWER = 3.0
WORTH = 1.1
RETRY_SECONDS = 60.0


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Compute with so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chosen_by_user() -> bool:
    """Tell whether `OMP_NUM_THREADS` says how many threads compute: then it is so many, whatever happens."""
    return bool(os.environ.get("OMP_NUM_THREADS"))


@cache
def limit_threads() -> None:
    """Let torch use no more threads than this process has cores.

    torch counts the cores of the machine; a container or a scheduler may give less of them (affinity, cgroup limits),
    and threads above that wait for each other most of the time.
    """
    if not chosen_by_user() and (cores := joblib.cpu_count()) < torch.get_num_threads():
        torch.set_num_threads(cores)


class ThreadKeeper:
    """Chooses between all threads and one for a long row of steps on a CPU.

    Threads of one step wait for each other many times. Beside other work each wait may last a slice of the scheduler,
    and a step with two threads takes several times as long as with one. So both are tried, in turns on the next step's
    work without its effect: after the first steps, when steps take several times what they took, and now and then
    while one thread computes. One thread is taken where it is clearly faster, and all of them when it is so no more.

    Args:
        on: False: nothing is tried and nothing changes, nor does it where `OMP_NUM_THREADS` is set.
    """

    def __init__(self, on: bool) -> None:
        self.all = torch.get_num_threads()
        self.on = on and self.all > 1 and not chosen_by_user()
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._usual: float | None = None  # median of some steps with all threads; None: nothing was tried yet
        self._again = 0.0

    @contextmanager
    def step(self, work: Callable[[], object]) -> Iterator[None]:
        """Time a step, and try both numbers of threads before it where it is time to.

        Args:
            work: takes about as long as the step and changes nothing that matters.
        """
        if self.on and self._due():
            self._choose(work)
        began = time.perf_counter()
        yield
        self._recent.append(time.perf_counter() - began)

    def close(self) -> None:
        """Go back to as many threads as there were."""
        if self.on:
            torch.set_num_threads(self.all)

    def _due(self) -> bool:
        if torch.get_num_threads() < self.all:
            return time.monotonic() >= self._again
        if len(self._recent) < WINDOW:
            return False
        now = median(self._recent)
        if self._usual is not None and now <= SLOWER * self._usual:
            self._usual = min(self._usual, now)
            return False
        self._usual = now
        return True

    def _choose(self, work: Callable[[], object]) -> None:
        before, times = torch.get_num_threads(), {self.all: 0.0, 1: 0.0}
        for _ in range(2):
            for count in times:
                torch.set_num_threads(count)
                began = time.perf_counter()
                work()
                times[count] += time.perf_counter() - began
            if times[self.all] > SLOWER * times[1]:
                break  # plain enough, and dear
        chosen = 1 if times[self.all] > WORTH * times[1] else self.all
        torch.set_num_threads(chosen)
        if chosen != before:
            print(
                f"work with {self.all} threads takes {times[self.all] / times[1]:.1f} times as long as with one: going "
                f"on with {chosen} (OMP_NUM_THREADS keeps to a number)",
                file=sys.stderr,
                flush=True,
            )
        self._recent.clear()
        self._again = time.monotonic() + RETRY_SECONDS
