"""What a measurement gives: a rate, a comparison side by side, a peak of memory."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, ClassVar

Cells = tuple[str, ...]


def short(number: float) -> float:
    """Four digits are more than a measurement is worth."""
    return float(f"{number:.4g}")


def shortened(content: Any) -> Any:
    """`content` with all its floats `short`."""
    if isinstance(content, float):
        return short(content)
    if isinstance(content, dict):
        return {key: shortened(value) for key, value in content.items()}
    return [shortened(value) for value in content] if isinstance(content, list | tuple) else content


@dataclass(frozen=True)
class Rate:
    """How much is done in a second.

    Attributes:
        task: what was done.
        per_second: items of kind `unit` a second, in the best run.
        unit: images or videos.
        items: how many were worked on in a run.
        seconds: time of each run.
        setting: network and sizes, in words.
    """

    task: str
    per_second: float
    unit: str
    items: int
    seconds: tuple[float, ...]
    setting: str

    heading: ClassVar[Cells] = ("task", "a second", "unit", "setting")

    def cells(self) -> Cells:
        """A row of the table."""
        return self.task, f"{self.per_second:.4g}", self.unit, self.setting


@dataclass(frozen=True)
class Comparison:
    """This project's way against the straightforward one, in turns on the same data.

    Attributes:
        task: what was done.
        times: how many times as fast this project is: best time over best time.
        target: what `times` should reach at least.
        seconds: time of each of our runs.
        other_seconds: time of each run of the straightforward way.
        other: the straightforward way in words, and whether its time is extrapolated.
        setting: sizes, in words.
    """

    task: str
    times: float
    target: float
    seconds: tuple[float, ...]
    other_seconds: tuple[float, ...]
    other: str
    setting: str

    heading: ClassVar[Cells] = ("side by side", "times", "target", "ours (s)", "theirs (s)", "theirs", "setting")

    def cells(self) -> Cells:
        """A row of the table."""
        ours, theirs = min(self.seconds), min(self.other_seconds)
        return (
            self.task,
            f"{self.times:.4g}",
            f"{self.target:.4g}",
            f"{ours:.3g}",
            f"{theirs:.3g}",
            self.other,
            self.setting,
        )


@dataclass(frozen=True)
class Share:
    """How much of a task's time goes into a part of it.

    Attributes:
        task: what was done.
        share: part over whole, 0 to 1.
        part: what part.
        seconds: the whole, as profiled in one process.
        setting: sizes, in words.
    """

    task: str
    share: float
    part: str
    seconds: float
    setting: str

    heading: ClassVar[Cells] = ("task", "share", "of its time in", "setting")

    def cells(self) -> Cells:
        """A row of the table."""
        return self.task, f"{self.share:.1%}", self.part, self.setting


@dataclass(frozen=True)
class Peak:
    """The most memory that a task held.

    Attributes:
        task: what was done.
        files: how many files were worked on.
        main_mib: peak of resident memory of the process that leads, MiB.
        worker_mib: the same of the worker that held most, MiB; 0 without workers.
        setting: sizes, in words.
    """

    task: str
    files: int
    main_mib: float
    worker_mib: float
    setting: str

    heading: ClassVar[Cells] = ("peak memory", "files", "main (MiB)", "a worker (MiB)", "setting")

    def cells(self) -> Cells:
        """A row of the table."""
        return self.task, f"{self.files:,}", f"{self.main_mib:.0f}", f"{self.worker_mib:.0f}", self.setting


Result = Rate | Comparison | Share | Peak


def as_json(result: Result) -> dict[str, Any]:
    """A result as plain values, with its kind."""
    content: dict[str, Any] = shortened(asdict(result))
    return {"kind": type(result).__name__.lower()} | content


def table(results: Sequence[Result]) -> str:
    """A line a result, under a heading for each kind."""
    parts = []
    for _, group in groupby(results, type):
        members = list(group)
        rows = [members[0].heading, *(member.cells() for member in members)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        parts += ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(parts)


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """`work` as a function that returns the seconds that it takes."""

    def run() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return run


def rate(task: str, unit: str, items: int, setting: str, repeats: int, work: Callable[[], float]) -> Rate:
    """Do `work` on `items` items `repeats` times; it returns the seconds that count."""
    seconds = tuple(work() for _ in range(repeats))
    return Rate(task, items / min(seconds), unit, items, seconds, setting)


def compare(
    task: str,
    target: float,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    other: str,
    setting: str,
    repeats: int,
) -> Comparison:
    """Do both `repeats` times in turns, so that a busy moment of the machine hits both; each returns its seconds."""
    pairs = [(ours(), theirs()) for _ in range(repeats)]
    seconds, others = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    return Comparison(task, min(others) / min(seconds), target, seconds, others, other, setting)
