"""The headline of the report: sentences that follow from the numbers, whichever way they fall."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from echosynth.common.views import RARE_VIEWS
from echosynth.report.formatting import Score, count, decimal, listing, plural, signed, signed_interval
from echosynth.report.study.inputs import Inputs
from echosynth.report.tables import Json

HIGHER, LOWER, OPEN = "higher than real", "lower than real", "interval holds 0"
RARE = " / ".join(RARE_VIEWS)


def rare_recall(cell: Json) -> Score:
    """Compute the mean recall of the rare views of a cell; None when one of them is absent."""
    values = [cell["recall"][view] for view in RARE_VIEWS]
    return None if None in values else math.fsum(values) / len(values)


def verdict(bounds: Sequence[Score] | None) -> str:
    """Say in words what an interval of differences to real says by itself."""
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
        baselines: the diffusion model's arms against the same arms of the baselines, or empty.
    """

    answer: str
    recalls: str
    differences: list[str]
    sizes: list[str]
    copies: str
    baselines: str


def _answer(inputs: Inputs, subset: str) -> str:
    """Say which arms differ from real in mean recall of the rare views."""
    readings: dict[str, list[str]] = {HIGHER: [], LOWER: [], OPEN: [], "no interval": []}
    for cell in inputs.cells(subset):
        if versus := cell["versus_real"]:
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
    """Say the recall of each rare view in each arm of a subset."""
    cells = inputs.cells(subset)
    words = {"real": "with real images alone"}
    parts = [
        f"{' / '.join(decimal(cell['recall'][view], 2) for view in RARE_VIEWS)} {words.get(cell['arm'], cell['arm'])}"
        for cell in cells
    ]
    basis = f"{inputs.architecture}, mean of {plural(cells[0]['seeds'], 'seed')}"
    opening = f"With {count(inputs.sizes[subset])} real images, recall of the rare views {RARE} is"
    return f"{opening} {', '.join(parts)} ({basis})."


def _difference(cell: Json) -> str:
    """Hold one arm against real: both scores, with intervals and what these say."""
    versus, parts = cell["versus_real"], []
    for key, name in (("rare_recall", f"mean recall of {RARE}"), ("macro_auprc", "macro AUPRC")):
        bounds = versus[f"{key}_interval"]
        said = {HIGHER: "higher", LOWER: "worse", OPEN: "the interval holds 0"}.get(verdict(bounds), "no interval")
        known = f" (95 % interval over patients {signed_interval(bounds)})" if said != "no interval" else ""
        parts.append(f"{name} {signed(versus[key])}{known}: {said}")
    return f"{cell['arm'].capitalize()} against real: {'; '.join(parts)}."


def _copies(inputs: Inputs, subset: str) -> str:
    """Balance alone, which copies give too, is no merit of synthetic images: name the difference to oversampled."""
    copies = inputs.cell(subset, "oversampled")
    cells = [cell for cell in inputs.cells(subset) if cell["synthetic"]]
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


def _baselines(inputs: Inputs, subset: str) -> str:
    """What a generator without any training reaches too is no merit of the diffusion model: name the differences."""
    parts = []
    for arm, start in (("synthetic", ""), ("mixed", "mixed-")):
        for generator in inputs.params.baselines.generators:
            own, other = inputs.cell(subset, arm), inputs.cell(subset, start + generator)
            if own and other:
                auprc = signed(own["macro_auprc"] - other["macro_auprc"])
                mine, its = rare_recall(own), rare_recall(other)
                gap = None if mine is None or its is None else mine - its
                said = f"{signed(gap)} in mean recall of {RARE} and {auprc} in macro AUPRC"
                parts.append(f"{arm} {said} against {other['arm']}")
    if not parts:
        return ""
    return f"Against generators that need no training: {'; '.join(parts)} (differences of means, no interval computed)."


def headline(inputs: Inputs) -> Headline:
    """Write the first words of the page, from the comparison of the first architecture."""
    smallest, *larger = inputs.sizes
    return Headline(
        answer=_answer(inputs, smallest),
        recalls=_recalls(inputs, smallest),
        differences=[_difference(cell) for cell in inputs.cells(smallest) if cell["versus_real"]],
        sizes=[_answer(inputs, subset) for subset in larger],
        copies=_copies(inputs, smallest),
        baselines=_baselines(inputs, smallest),
    )
