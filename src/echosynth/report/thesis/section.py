"""What a section of the page is, and how its verdict is worded."""

from collections.abc import Sequence
from dataclasses import dataclass

from echosynth.report.drawing import PageFigure
from echosynth.report.formatting import Score, signed, signed_interval
from echosynth.report.tables import Table


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: counts, and shares of the true view."""

    caption: str
    counts: list[list[int]]
    shares: list[list[float]]


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        items: tables and figures of the thesis that it is about, such as "Table 5.3", or a question that it left open.
        title: what it is about.
        claim: what the thesis says, in words and numbers.
        verdict: what this run says, a sentence each.
        figures: ours.
        tables: ours, with the thesis's numbers beside where there are any.
        matrices: ours.
    """

    items: tuple[str, ...]
    title: str
    claim: str
    verdict: Sequence[str]
    figures: Sequence[PageFigure] = ()
    tables: Sequence[Table] = ()
    matrices: Sequence[Matrix] = ()

    @property
    def anchor(self) -> str:
        """Its address on the page."""
        return self.items[0].lower().replace(" ", "-").replace(".", "-")


def judged(what: str, value: Score, bounds: Sequence[Score]) -> str:
    """Word a difference with its interval.

    Args:
        what: the sentence's beginning, such as "synthetic less real at 100 images, macro AUPRC".
        value: the difference.
        bounds: its 95 % interval; None twice where there is none.
    """
    low, high = bounds
    if value is None:
        return f"{what}: absent."
    if low is None or high is None:
        return f"{what}: {signed(value)}, without an interval."
    reading = "higher" if low > 0 else "lower" if high < 0 else "open, the interval holds 0"
    return f"{what}: {signed(value)} ({signed_interval([low, high])}): {reading}."
