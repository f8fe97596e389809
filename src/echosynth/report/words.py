"""Numbers as text, and the headline: sentences that follow from the numbers, whichever way they fall."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from echosynth.common.views import RARE_VIEWS
from echosynth.report.study.inputs import Inputs, Json

Number = float | None
HIGHER, LOWER, OPEN = "higher than real", "lower than real", "interval holds 0"
RARE = " / ".join(RARE_VIEWS)


def number(value: Number, digits: int = 3) -> str:
    """A score; an en dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: Number, digits: int = 3) -> str:
    """A difference with its sign."""
    text = number(value, digits)
    return f"+{text}" if text[0].isdigit() and value != 0 else text


def count(value: int) -> str:
    """A whole number with commas."""
    return f"{value:,}"


def spread(values: Sequence[Number], digits: int = 3) -> str:
    """Mean ± standard deviation (n - 1) of the known values; the mean alone when there is one."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return number(mean, digits)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    return f"{number(mean, digits)} ± {number(deviation, digits)}"


def between(bounds: Sequence[Number] | None, digits: int = 3) -> str:
    """An interval such as "0.812 to 0.904"; empty where there is none."""
    if not bounds or bounds[0] is None:
        return ""
    return f"{number(bounds[0], digits)} to {number(bounds[1], digits)}"


def signed_between(bounds: Sequence[Number]) -> str:
    """An interval of differences, with signs."""
    return f"{signed(bounds[0])} to {signed(bounds[1])}"


def listing(items: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    words = list(items)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def plural(value: int, noun: str) -> str:
    """ "1 seed", "2 seeds"."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def rare_recall(cell: Json) -> Number:
    """Mean recall of the rare views; None when one of them is absent."""
    values = [cell["recall"][view] for view in RARE_VIEWS]
    return None if None in values else math.fsum(values) / len(values)


def verdict(bounds: Sequence[Number] | None) -> str:
    """What an interval of differences says by itself."""
    if not bounds or bounds[0] is None or bounds[1] is None:
        return "no interval"
    if bounds[0] > 0:
        return HIGHER
    return LOWER if bounds[1] < 0 else OPEN


@dataclass(frozen=True)
class Headline:
    """The first words of the page.

    Attributes:
        answer: one sentence on the smallest subset: which arms are higher, lower or undecided in recall of rare views.
        recalls: one sentence with the recall of each rare view in each arm.
        differences: one sentence for each other arm at the smallest subset: its difference to real.
        sizes: the answer for every larger subset.
        copies: the arms with synthetic images against copies of the real ones, or empty.
    """

    answer: str
    recalls: str
    differences: list[str]
    sizes: list[str]
    copies: str


def _answer(inputs: Inputs, subset: str) -> str:
    """Which arms differ from real in mean recall of the rare views."""
    found: dict[str, list[str]] = {HIGHER: [], LOWER: [], OPEN: [], "no interval": []}
    for arm in inputs.arms:
        cell = inputs.cell(subset, arm)
        versus = cell and cell["versus_real"]
        if versus:
            found[verdict(versus["rare_recall_interval"])].append(f"{arm} ({signed(versus['rare_recall'])})")
    openings = {
        HIGHER: "higher than with real images alone for",
        LOWER: "lower than with real images alone for",
        OPEN: "no difference shown, as the interval holds 0, for",
        "no interval": "no interval known for",
    }
    parts = [f"{openings[key]} {listing(arms)}" for key, arms in found.items() if arms]
    said = "; ".join(parts) or "no comparison with real images was computed"
    return f"With {count(inputs.sizes[subset])} real images, mean recall of the rare views: {said}."


def _recalls(inputs: Inputs, subset: str) -> str:
    """The recall of each rare view in each arm of a subset."""
    cells = [cell for arm in inputs.arms if (cell := inputs.cell(subset, arm))]
    words = {"real": "with real images alone"}
    parts = [
        f"{' / '.join(number(cell['recall'][view], 2) for view in RARE_VIEWS)} {words.get(cell['arm'], cell['arm'])}"
        for cell in cells
    ]
    basis = f"{inputs.architecture}, mean of {plural(cells[0]['seeds'], 'seed')}"
    opening = f"With {count(inputs.sizes[subset])} real images, recall of the rare views {RARE} is"
    return f"{opening} {', '.join(parts)} ({basis})."


def _difference(cell: Json) -> str:
    """One arm against real: both scores, with intervals and what these say."""
    versus, parts = cell["versus_real"], []
    for key, name in (("rare_recall", f"mean recall of {RARE}"), ("macro_auprc", "macro AUPRC")):
        bounds = versus[f"{key}_interval"]
        said = {HIGHER: "higher", LOWER: "worse", OPEN: "the interval holds 0"}.get(verdict(bounds), "no interval")
        known = f" (95 % interval over patients {signed_between(bounds)})" if said != "no interval" else ""
        parts.append(f"{name} {signed(versus[key])}{known}: {said}")
    return f"{cell['arm'].capitalize()} against real: {'; '.join(parts)}."


def _copies(inputs: Inputs, subset: str) -> str:
    """Balance alone, which copies give too, is no merit of synthetic images: name the difference to oversampled."""
    copies = inputs.cell(subset, "oversampled")
    cells = [cell for arm in ("synthetic", "mixed") if (cell := inputs.cell(subset, arm))]
    if not copies or not cells:
        return ""
    base = rare_recall(copies)
    parts = []
    for cell in cells:
        value = rare_recall(cell)
        gap = None if value is None or base is None else value - base
        auprc = signed(cell["macro_auprc"] - copies["macro_auprc"])
        parts.append(f"{cell['arm']} {signed(gap)} in mean recall of {RARE} and {auprc} in macro AUPRC")
    return (
        "Against oversampled, where copies of real images give balance without any synthetic image: "
        f"{'; '.join(parts)} (differences of means, no interval computed)."
    )


def headline(inputs: Inputs) -> Headline:
    """The first words of the page, from the comparison of the first architecture."""
    smallest, *larger = inputs.sizes
    cells = [cell for arm in inputs.arms if (cell := inputs.cell(smallest, arm)) and cell["versus_real"]]
    return Headline(
        answer=_answer(inputs, smallest),
        recalls=_recalls(inputs, smallest),
        differences=[_difference(cell) for cell in cells],
        sizes=[_answer(inputs, subset) for subset in larger],
        copies=_copies(inputs, smallest),
    )


def distance(value: float, deviation: float | None = None) -> str:
    """A distance with one decimal, or two below 10, ± its standard deviation where that is known."""
    digits = 2 if value < 10 else 1
    spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{value:,.{digits}f}{spread}"
