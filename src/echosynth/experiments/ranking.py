"""The table of experiments, best first, as wide as the terminal."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from echosynth.experiments.grid import Goal, short

GAP = "  "
SHORTEST_NAME = 16
IDENTITY = 8


@dataclass(frozen=True)
class Row:
    """One experiment: its name, the parameters that were chosen for it, and its scores (none when it failed)."""

    name: str
    values: Mapping[str, Any]
    scores: Mapping[str, float]


def ranked(rows: Sequence[Row], goal: Goal) -> list[Row]:
    """Sort rows, the best first; those without the score come last."""
    sign = -1 if goal.maximise else 1

    def key(row: Row) -> float:
        score = row.scores.get(goal.score, math.nan)
        return math.inf if math.isnan(score) else sign * score

    return sorted(rows, key=key)


def table(rows: Sequence[Row], goal: Goal, width: int) -> str:
    """Write the ranking as text, the best first.

    Args:
        rows: of one sweep or search, in any order.
        goal: what they are ranked by, and which further scores are shown where there is room.
        width: of the terminal; names lose their middle to fit, and if that is not enough, further scores are left out.
    """
    rows = ranked(rows, goal)
    parameters, others = shown_parameters(rows), shown_columns(rows, goal)
    labels = _labels([*parameters, goal.score, *others])
    values = [(labels[key], [short(row.values[key]) for row in rows]) for key in parameters]
    scores = [(labels[key], [_number(row.scores.get(key)) for row in rows]) for key in [goal.score, *others]]
    shortest = len(GAP) + min(SHORTEST_NAME, max(len(row.name) for row in rows))
    while len(scores) > 1 and shortest + _width([*values, *scores]) > width:
        scores.pop()
    room = width - _width([*values, *scores]) - len(GAP)
    names = ("experiment", [cut(row.name, max(SHORTEST_NAME, room)) for row in rows])
    columns = [_aligned(names, left=True)] + [_aligned(column) for column in [*values, *scores]]
    return "\n".join(GAP.join(cells).rstrip() for cells in zip(*columns, strict=True))


def shown_parameters(rows: Sequence[Row]) -> list[str]:
    """Choose the parameters in which the experiments differ; all of them where they do not."""
    names = list(rows[0].values)
    return [name for name in names if any(row.values[name] != rows[0].values[name] for row in rows)] or names


def shown_columns(rows: Sequence[Row], goal: Goal) -> list[str]:
    """Choose the further scores that any of the experiments has."""
    return [name for name in goal.columns if any(name in row.scores for row in rows)]


def command(rows: Sequence[Row], goal: Goal) -> str:
    """Write the `dvc exp show` that ranks the same experiments by the same columns."""
    wanted = "|".join(name.replace(".", r"\.") for name in ["Experiment", *shown_parameters(rows), goal.score])
    order = "desc" if goal.maximise else "asc"
    words = ["dvc", "exp", "show", "--only-changed", "--drop", f"^(?!({wanted})$)"]
    return shlex.join([*words, "--sort-by", goal.score, "--sort-order", order])


def _labels(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each name, or all of it where the last parts meet."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: part if last.count(part) == 1 else key for key, part in zip(keys, last, strict=True)}


def cut(name: str, longest: int) -> str:
    """Leave out the middle of a name that is too long: its last eight digits tell it from others."""
    if len(name) <= longest:
        return name
    end = min(longest - 2, IDENTITY)
    return f"{name[: longest - 1 - end]}…{name[-end:]}"


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _width(columns: Sequence[tuple[str, list[str]]]) -> int:
    return sum(max(map(len, [title, *cells])) for title, cells in columns) + len(GAP) * (len(columns) - 1)


def _aligned(column: tuple[str, list[str]], *, left: bool = False) -> list[str]:
    title, cells = column
    side = max(map(len, [title, *cells]))
    return [text.ljust(side) if left else text.rjust(side) for text in [title, *cells]]
