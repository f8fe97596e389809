"""Figure 5.17: real images with more and more synthetic ones beside them, and equal numbers of real images."""

from collections.abc import Mapping

from echosynth.report.drawing import PageFigure, page_figure, panel
from echosynth.report.formatting import Score, count, decimal, signed, signed_interval
from echosynth.report.study.figures import SUBSET_COLOURS, SUBSET_LINES
from echosynth.report.tables import Json, Table
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section, judged
from echosynth.thesis.cells import read_left_out
from echosynth.thesis.fractions import PLUS, QUESTION, TWICE

Pair = tuple[str, Score, list[Score]]  # in words, the difference, its interval
BEST = 0.990284  # validation AUPRC of the thesis's final model: 32,000 real images and 0.7 of that

CLAIM = (
    "Synthetic images beside the real ones help the more the fewer the real ones are and change little from the large "
    "subsets on; of two sets of one size the one of real images alone is always ahead of one that is half synthetic, "
    "if only a little. The best of all classifiers, the final model, has 32,000 real and 22,400 synthetic images "
    f"(AUPRC {BEST})."
)


def sections(thesis: Thesis) -> list[Section]:
    """Give the section about it; none where it was not asked for."""
    results = thesis.compared(QUESTION)
    if not results:
        return []
    said = [judged(f"{words}, macro AUPRC", value, bounds) for words, value, bounds in pairs(results)]
    for result in results.values():
        *_, most = _rising(result).values()
        if versus := most["versus"].get(f"{PLUS}0"):
            words = (
                f"{count(most['real_images'])} real images with {percent(most['arm'])} % synthetic ones less without"
            )
            said.append(judged(f"{words}, macro AUPRC", versus["macro_auprc"], versus["macro_auprc_interval"]))
    found = best(results)
    share = f"{percent(found['arm'])} % synthetic ones"
    said.append(
        f"The best of these: {count(found['real_images'])} real images with {share} ({decimal(found['macro_auprc'])})."
    )
    table = fractions_table(results, {size: read_left_out(QUESTION, size) for size in results})
    return [
        Section(("Figure 5.17",), "Real images with synthetic ones", CLAIM, said, [fractions_figure(results)], [table])
    ]


def percent(arm: str) -> int | None:
    """Per cent of synthetic images in an arm; None for that of real images alone."""
    return int(arm.removeprefix(PLUS)) if arm.startswith(PLUS) else None


def fractions_figure(results: Mapping[str, Json]) -> PageFigure:
    """Draw macro AUPRC against the fraction, a line for each subset (figure 5.17).

    Args:
        results: subset -> result of `echosynth.evaluation.comparison.compare`.
    """
    figure, axes = panel(
        "Real images with synthetic ones", "synthetic images, % of the real", "macro AUPRC, validation"
    )
    for index, result in enumerate(results.values()):
        colour = SUBSET_COLOURS[index % len(SUBSET_COLOURS)]
        cells = _rising(result)
        places = [share + 0.8 * (index - (len(results) - 1) / 2) for share in cells]
        line = SUBSET_LINES[index % len(SUBSET_LINES)]
        label = f"{count(result['cells'][0]['real_images'])} real"
        values = [cell["macro_auprc"] for cell in cells.values()]
        axes.plot(places, values, color=colour, linestyle=line, marker="o", ms=5, label=label)
        for place, cell in zip(places, cells.values(), strict=True):
            bounds = cell.get("interval", {}).get("macro_auprc") or [None, None]
            if bounds[0] is not None:
                axes.vlines(place, bounds[0], bounds[1], colors=colour, linewidth=1.2)
        for cell in result["cells"]:
            if cell["arm"] == TWICE:
                axes.plot(104, cell["macro_auprc"], "*", ms=10, color=colour, clip_on=False)
    axes.legend(loc="lower right")
    over = next(iter(results.values()))["intervals_over"]
    caption = f"Stars: twice as many real images, none synthetic. Bars: 95 % interval over {over}."
    alt = "Macro AUPRC against the fraction of synthetic images, for each subset; numbers in the table below"
    return page_figure(figure, alt, caption)


def fractions_table(results: Mapping[str, Json], left_out: Mapping[str, Mapping[str, str]]) -> Table:
    """Show every fraction of every subset beside none.

    Args:
        results: subset -> result of `echosynth.evaluation.comparison.compare`.
        left_out: subset -> arm that could not be made -> the reason.
    """
    rows = []
    for subset, result in results.items():
        twice = [("twice the real images", cell) for cell in result["cells"] if cell["arm"] == TWICE]
        for what, cell in [*((f"{share} %", cell) for share, cell in _rising(result).items()), *twice]:
            versus = cell["versus"].get(f"{PLUS}0", {})
            bounds = versus.get("macro_auprc_interval") or [None, None]
            row = [subset, what, count(cell["images"]), count(cell["synthetic"]), decimal(cell["macro_auprc"])]
            row += [signed(versus.get("macro_auprc")), "–" if bounds[0] is None else signed_interval(bounds)]
            rows.append([*row, decimal(cell["macro_f1"])])
    header = ["subset", "synthetic", "images", "of these synthetic", "AUPRC", "to none", "95 % interval", "F1"]
    missing = [
        f" {subset}, {arm} is left out: {why}." for subset, arms in left_out.items() for arm, why in arms.items()
    ]
    note = f"The thesis's best, 32,000 real images and 70 %, has AUPRC {decimal(BEST)}.{''.join(missing)}"
    return Table("Real images with synthetic ones", header, rows, labels=2, note=note)


def pairs(results: Mapping[str, Json]) -> list[Pair]:
    """Give macro AUPRC of n real and n synthetic images less that of 2 n real ones, for each subset that has both."""
    found = []
    for result in results.values():
        cells = {cell["arm"]: cell for cell in result["cells"]}
        if TWICE in cells and (mixed := cells.get(f"{PLUS}100")):
            versus, number = mixed["versus"][TWICE], count(mixed["real_images"])
            words = f"{number} real and as many synthetic images less {count(2 * mixed['real_images'])} real ones"
            found.append((words, versus["macro_auprc"], versus["macro_auprc_interval"]))
    return found


def best(results: Mapping[str, Json]) -> Json:
    """Find the cell of the largest mean macro AUPRC among all fractions and subsets."""
    cells = [cell for result in results.values() for cell in result["cells"] if cell["arm"] != TWICE]
    found: Json = max(cells, key=lambda cell: cell["macro_auprc"])
    return found


def _rising(result: Json) -> dict[int, Json]:
    """The cells by per cent of synthetic images."""
    found = {share: cell for cell in result["cells"] if (share := percent(cell["arm"])) is not None}
    return dict(sorted(found.items()))
