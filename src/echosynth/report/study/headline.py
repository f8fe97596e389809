"""The headline of the report: sentences that follow from the numbers, whichever way they fall."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from echosynth.common.arm_names import percent_of
from echosynth.common.views import RARE_VIEWS
from echosynth.report.formatting import Score, count, decimal, listing, plural, signed, signed_interval
from echosynth.report.study.inputs import Inputs
from echosynth.report.tables import Json

HIGHER, LOWER, OPEN = "higher", "lower", "interval holds 0"
RARE = " / ".join(RARE_VIEWS)


def rare_recall(cell: Json) -> Score:
    """Compute the mean recall of the rare views of a cell; None when one of them is absent."""
    values = [cell["recall"][view] for view in RARE_VIEWS]
    return None if None in values else math.fsum(values) / len(values)


def verdict(bounds: Sequence[Score] | None) -> str:
    """Say in words what an interval of differences says by itself."""
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
        differences: one sentence for each arm and rival at the smallest subset: the difference.
        sizes: the answer for every larger subset.
    """

    answer: str
    recalls: str
    differences: list[str]
    sizes: list[str]


def _answer(inputs: Inputs, subset: str) -> str:
    """Say which arms differ from real in mean recall of the rare views."""
    readings: dict[str, list[str]] = {HIGHER: [], LOWER: [], OPEN: [], "no interval": []}
    for cell in inputs.cells(subset):
        if versus := cell["versus"].get("real"):
            reading = verdict(versus["rare_recall_interval"])
            readings[reading].append(f"{cell['arm']} ({signed(versus['rare_recall'])})")
    openings = {
        HIGHER: "higher than with real images alone for",
        LOWER: "lower than with real images alone for",
        OPEN: "no difference shown, as the interval holds 0, for",
        "no interval": "no interval known for",
    }
    parts = [f"{openings[key]} {listing(arms)}" for key, arms in readings.items() if arms]
    said = "; ".join(parts) or "no comparison with real images was computed"
    return f"With {count(inputs.sizes[subset])} real images, mean recall of the rare views: {said}."


def _recalls(inputs: Inputs, subset: str) -> str:
    """Say the recall of each rare view in each arm of a subset, and what the intervals that follow hold."""
    cells = inputs.cells(subset)
    words = {"real": "with real images alone"}
    parts = [
        f"{' / '.join(decimal(cell['recall'][view], 2) for view in RARE_VIEWS)} {words.get(cell['arm'], cell['arm'])}"
        for cell in cells
    ]
    basis = f"{inputs.architecture}, mean of {plural(cells[0]['seeds'], 'seed')}"
    opening = f"With {count(inputs.sizes[subset])} real images, recall of the rare views {RARE} is"
    return f"{opening} {', '.join(parts)} ({basis}). Intervals are over {inputs.intervals_over}."


def _told(versus: Json) -> str:
    """Say a difference in both scores, with intervals and what these say."""
    parts = []
    for key, name in (("rare_recall", f"mean recall of {RARE}"), ("macro_auprc", "macro AUPRC")):
        bounds = versus[f"{key}_interval"]
        said = {HIGHER: "higher", LOWER: "worse", OPEN: "the interval holds 0"}.get(verdict(bounds), "no interval")
        known = f" (95 % interval {signed_interval(bounds)})" if said != "no interval" else ""
        parts.append(f"{name} {signed(versus[key])}{known}: {said}")
    return "; ".join(parts)


def rivals(arm: str, generators: Sequence[str]) -> list[str]:
    """Name the arms that one is held against: real; where images of the diffusion model are in it also copies of real
    images, which give balance alone, and the same arm of generators that need no training."""
    if arm == "real":
        return []
    if percent_of(arm):
        return ["real", "oversampled"]  # no baseline is mixed in that way
    start = {"synthetic": "", "mixed": "mixed-"}.get(arm)
    return ["real"] if start is None else ["real", "oversampled", *(start + generator for generator in generators)]


def against(inputs: Inputs, cell: Json) -> list[tuple[str, Json]]:
    """Give the rivals of an arm that there are, each with the difference of the arm to it."""
    names = rivals(cell["arm"], inputs.params.baselines.generators)
    return [(name, cell["versus"][name]) for name in names if name in cell["versus"]]


def headline(inputs: Inputs) -> Headline:
    """Write the first words of the page, from the comparison of the first architecture."""
    smallest, *larger = inputs.sizes
    return Headline(
        answer=_answer(inputs, smallest),
        recalls=_recalls(inputs, smallest),
        differences=[
            f"{cell['arm'].capitalize()} against {other}: {_told(versus)}."
            for cell in inputs.cells(smallest)
            for other, versus in against(inputs, cell)
        ],
        sizes=[_answer(inputs, subset) for subset in larger],
    )
