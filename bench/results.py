"""What a measurement gives: a rate, a comparison side by side, a peak of memory, distances of images."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import mean, stdev
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


@dataclass(frozen=True)
class Memory:
    """The most memory that a training step held.

    Attributes:
        task: what was done.
        batch_size: images a step.
        mib: peak, MiB.
        checkpointed_mib: the same with gradient checkpointing.
        setting: network, sizes, and what kind of memory, in words.
    """

    task: str
    batch_size: int
    mib: float
    checkpointed_mib: float
    setting: str

    heading: ClassVar[Cells] = ("peak memory", "batch size", "MiB", "checkpointed (MiB)", "setting")

    def cells(self) -> Cells:
        """A row of the table."""
        return self.task, str(self.batch_size), f"{self.mib:.0f}", f"{self.checkpointed_mib:.0f}", self.setting


@dataclass(frozen=True)
class Distances:
    """Distances to the same real images of sets that were made in two ways: Frechet, or kernel (around 0 for equals).

    Attributes:
        task: what was done.
        ours: of each set that this project's way made, with other noise each; two or more.
        others: of each set of the straightforward way.
        difference: mean of `others` minus mean of `ours`, in standard errors; the spread between the sets of `ours`
            stands for that of both. Within about -3 to 3 the two ways are equal as far as these sets can tell.
        floor: of further real images, as many as in a set.
        images: in a set.
        setting: both ways, in words.
    """

    task: str
    ours: tuple[float, ...]
    others: tuple[float, ...]
    difference: float
    floor: float
    images: int
    setting: str

    heading: ClassVar[Cells] = ("distance", "images", "ours", "theirs", "difference (se)", "real", "setting")

    def cells(self) -> Cells:
        """A row of the table."""
        spread = f"{mean(self.ours):.4g} +- {stdev(self.ours):.2g} ({len(self.ours)} sets)"
        others, floor = f"{mean(self.others):.4g} ({len(self.others)})", f"{self.floor:.4g}"
        return self.task, str(self.images), spread, others, f"{self.difference:+.2f}", floor, self.setting


@dataclass(frozen=True)
class Duration:
    """How long something takes that is asked to be short.

    Attributes:
        task: what was done.
        limit: seconds that the best run should take at most.
        seconds: time of each run.
        setting: sizes, in words.
    """

    task: str
    limit: float
    seconds: tuple[float, ...]
    setting: str

    heading: ClassVar[Cells] = ("duration", "best (s)", "at most (s)", "setting")

    def cells(self) -> Cells:
        """A row of the table."""
        return self.task, f"{min(self.seconds):.3g}", f"{self.limit:g}", self.setting


@dataclass(frozen=True)
class Missing:
    """A measurement that cannot be made here.

    Attributes:
        task: what would have been done.
        reason: what is missing, and what to do.
    """

    task: str
    reason: str

    heading: ClassVar[Cells] = ("not measured", "why")

    def cells(self) -> Cells:
        """A row of the table."""
        return self.task, self.reason


Result = Rate | Comparison | Share | Duration | Peak | Memory | Distances | Missing


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
    return compared(task, target, [pair[0] for pair in pairs], [pair[1] for pair in pairs], other, setting)


def compared(
    task: str, target: float, seconds: Sequence[float], others: Sequence[float], other: str, setting: str
) -> Comparison:
    """A comparison of times that were taken in turns."""
    return Comparison(task, min(others) / min(seconds), target, tuple(seconds), tuple(others), other, setting)
