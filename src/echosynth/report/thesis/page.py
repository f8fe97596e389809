"""The page of the thesis as HTML, a function of the inputs alone."""

from collections.abc import Callable

from echosynth.common import paths
from echosynth.common.views import VIEWS
from echosynth.report.drawing import STYLES, look
from echosynth.report.templates import fill
from echosynth.report.thesis import (
    budgets,
    classifiers,
    data,
    embedding,
    final,
    fractions,
    power,
    ranking,
    rebalancing,
    shift,
    sources,
)
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section

# In the order of the thesis, the two budgets behind the tables that they are about; then what it left open.
PARTS: tuple[Callable[[Thesis], list[Section]], ...] = (
    data.sections,
    classifiers.sections,
    budgets.sections,
    embedding.sections,
    fractions.sections,
    rebalancing.sections,
    final.sections,
    shift.sections,
    sources.sections,
    ranking.sections,
    power.sections,
)


def sections(thesis: Thesis) -> list[Section]:
    """Give all sections of the page."""
    return [section for part in PARTS for section in part(thesis)]


@look()
def render(thesis: Thesis) -> str:
    """Render the whole page."""
    return fill(
        "thesis/page.html",
        phantom=paths.simulated(thesis.params.data.root),
        styles=STYLES,
        views=VIEWS,
        sections=sections(thesis),
        seeds=len(thesis.params.classifier.seeds),
        intervals_over=thesis.main.intervals_over,
    )
