"""Numbers and lists as text: every page formats its cells and sentences here."""

import math
from collections.abc import Iterable, Sequence

Score = float | None


def decimal(value: Score, digits: int = 3) -> str:
    """Format a score with `digits` decimals; an en dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: Score, digits: int = 3) -> str:
    """Format a difference with its sign."""
    text = decimal(value, digits)
    return f"+{text}" if text[0].isdigit() and value != 0 else text


def count(value: int) -> str:
    """Format a whole number with commas."""
    return f"{value:,}"


def share(part: int, whole: int) -> str:
    """Format a part of a whole in percent; an en dash where the whole is 0."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def mean_sd(values: Sequence[Score], digits: int = 3) -> str:
    """Format mean ± standard deviation (n - 1) of the known values; the mean alone when there is one."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return decimal(mean, digits)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    return f"{decimal(mean, digits)} ± {decimal(deviation, digits)}"


def interval(bounds: Sequence[Score] | None, digits: int = 3) -> str:
    """Format an interval such as "0.812 to 0.904"; empty where there is none."""
    if not bounds or bounds[0] is None:
        return ""
    return f"{decimal(bounds[0], digits)} to {decimal(bounds[1], digits)}"


def signed_interval(bounds: Sequence[Score]) -> str:
    """Format an interval of differences, with signs."""
    return f"{signed(bounds[0])} to {signed(bounds[1])}"


def distance(value: Score, deviation: Score = None) -> str:
    """Format a distance with one decimal, or two below 10, ± its standard deviation where that is known; an en dash
    where there is none."""
    if value is None:
        return "–"
    digits = 2 if value < 10 else 1
    aside = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{value:,.{digits}f}{aside}"


def listing(items: Iterable[str]) -> str:
    """Join words as "a", "a and b" or "a, b and c"."""
    words = list(items)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def plural(value: int, noun: str) -> str:
    """Format a number with its noun, such as "1 seed" or "2 seeds"."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"
