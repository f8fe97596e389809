"""Synthetic sets that differ in their sources alone: what balance over view and source does."""

from collections.abc import Mapping
from itertools import product

from matplotlib.figure import Figure

from echosynth.common.views import VIEWS
from echosynth.report.drawing import PageFigure, Style, embedded, page_figure, panel
from echosynth.report.formatting import Score, count, decimal, listing, signed, signed_interval
from echosynth.report.tables import Json, Table
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section
from echosynth.thesis.cells import SCORES, read_left_out
from echosynth.thesis.pairs import SHOWN
from echosynth.thesis.sources import ARMS, PICTURE, QUESTION

Results = Mapping[str, Json]  # set of images -> result of `echosynth.evaluation.comparison.compare`
Effect = tuple[float, list[Score]]  # a difference, its interval
AS_REAL, SEEN, ALL = "synthetic-as-real", "synthetic-seen-pairs", "synthetic-all-pairs"
# What each arm is compared with: the one that differs in the sources, or in the real images, alone.
BASES = dict.fromkeys(ARMS, AS_REAL) | {"mixed-all-pairs": "mixed-as-real"}
# The comparisons of sources, and how they are drawn.
EFFECTS = {
    SEEN: Style("#0072B2", "s", "-", "■"),
    ALL: Style("#D55E00", "^", "-", "▲"),
    "mixed-all-pairs": Style("#009E73", "D", "-", "◆"),
}
ABSENT = "absent"
CLAIM = (
    "A2C comes from one source alone, and under domain shift most A2C are called A4C or PLAX: the authors take it that "
    "the source was learned in place of the view. They propose a model that is told view and source and samples views "
    "in the style of sources that lack them, and expect it to need sources of two views or more each, and views of two "
    "sources or more each."
)


def sections(thesis: Thesis) -> list[Section]:
    """Give the section about it; none where it was not asked for."""
    said, figures, tables = list[str](), list[PageFigure](), list[Table]()
    for size, result in thesis.compared(QUESTION).items():
        measured = thesis.measured(QUESTION, size)
        if measured is None:
            continue
        within = sorted(measured["within"].items(), key=lambda item: (item[0].startswith("shift"), item[0]))
        results = {"validation": result} | dict(within)
        number, left_out = f"{count(result['cells'][0]['real_images'])} real images", read_left_out(QUESTION, size)
        said += [f"{number}: {sentence}" for sentence in verdict(results, measured["real"], left_out)]
        if any(arm in _by_arm(result) for arm in EFFECTS):
            figures.append(page_figure(effects_figure(results, number), *_words(result)))
            figures.append(pairs_figure((SCORES / QUESTION / size / PICTURE).read_bytes(), measured["real"]))
        tables.append(sources_table(results, left_out, number))
    if said:
        said.insert(0, "Exploratory: scored under shift once, and nothing is chosen by it.")
    title = "A synthetic set that is balanced over view and source"
    return [Section(("Sources",), title, CLAIM, said, figures, tables)] if said else []


def verdict(results: Results, real: Mapping[str, Mapping[str, int]], left_out: Mapping[str, str]) -> list[str]:
    """Say what the real images show, what was left out, and what other sources do to macro AUPRC, wherever it falls.

    Args:
        results: the validation images first.
        real: view -> source -> training images.
        left_out: arm that could not be made -> the reason.
    """
    said = [pairs_sentence(real)]
    for reason in dict.fromkeys(left_out.values()):
        arms = listing(arm for arm in left_out if left_out[arm] == reason)
        said.append(f"without {arms}: {reason}.")
    for arm in EFFECTS:
        found = effects(results, arm)
        if found:
            each = [f"{name} {signed(value)} ({signed_interval(bounds)})" for name, (value, bounds) in found.items()]
            said.append(f"{arm} less {BASES[arm]}, macro AUPRC: {'; '.join(each)}. {reading(found)}")
    return said


def pairs_sentence(real: Mapping[str, Mapping[str, int]]) -> str:
    """Say which pairs of view and source the real training images show, and which sources can tell views apart."""
    names = list(next(iter(real.values())))
    shown = sum(number > 0 for row in real.values() for number in row.values())
    several = [name for name in names if sum(row[name] > 0 for row in real.values()) > 1]
    text = f"they show {shown} of {len(real) * len(names)} pairs of view and source; "
    if not several:
        return text + (
            "every source shows one view alone, so that nothing in the validation set tells a view from its source."
        )
    return text + f"several views are shown by {listing(several)}{' alone' if len(several) < len(names) else ''}."


def effects(results: Results, arm: str) -> dict[str, Effect]:
    """Give macro AUPRC of an arm less that of its base, with its interval, on every set of images that has both."""
    found = {}
    for name, result in results.items():
        versus = _by_arm(result).get(arm, {}).get("versus", {}).get(BASES[arm])
        if versus and versus["macro_auprc"] is not None:
            found[name] = (versus["macro_auprc"], versus["macro_auprc_interval"])
    return found


def reading(found: Mapping[str, Effect]) -> str:
    """Word where a difference is decided, and where it is not."""
    kinds: dict[str, list[str]] = {"higher": [], "lower": [], "open": []}
    for name, (_, (low, high)) in found.items():
        known = low is not None and high is not None
        kinds["higher" if known and low > 0 else "lower" if known and high < 0 else "open"].append(name)  # type: ignore[operator]
    if len(kinds["open"]) == len(found):
        return "So: open everywhere."
    words = [f"{kind} on {listing(names)}" for kind, names in kinds.items() if names]
    return f"So: {', '.join(words)}."


def sources_table(results: Results, left_out: Mapping[str, str], number: str) -> Table:
    """Show every arm on every set of images beside the arm that it is compared with."""
    rows = []
    for (name, result), arm in product(results.items(), ARMS):
        if cell := _by_arm(result).get(arm):
            versus = cell["versus"].get(BASES[arm], {})
            bounds = versus.get("macro_auprc_interval") or [None, None]
            row = [name, arm, _score(cell["macro_auprc"]), signed(versus.get("macro_auprc"))]
            row += ["–" if bounds[0] is None else signed_interval(bounds), _score(cell["macro_f1"])]
            rows.append([*row, *(_score(cell["recall"][view], 2) for view in VIEWS)])
    header = ["images", "trained on", "AUPRC", "to as-real", "95 % interval", "F1"]
    missing = "".join(f" {arm} is left out: {why}." for arm, why in left_out.items())
    note = (
        f"All synthetic sets are of one size and balanced over views. Compared with {AS_REAL}, mixed-all-pairs with "
        "mixed-as-real. In brackets: images of that source alone, where the source tells nothing of the view. A view "
        f"that the images do not show is {ABSENT}.{missing}"
    )
    return Table(
        f"Sources of synthetic sets, {number}",
        [*header, *(f"recall {view}" for view in VIEWS)],
        rows,
        labels=2,
        note=note,
    )


def effects_figure(results: Results, number: str) -> Figure:
    """Draw what other sources do to macro AUPRC, on each set of images."""
    shown = {arm: found for arm in EFFECTS if (found := effects(results, arm))}
    names = [name for name in results if any(name in found for found in shown.values())]
    figure, axes = panel(f"Sources, {number}", "difference in macro AUPRC", "", height=1.9 + 0.45 * len(names))
    axes.axvline(0, color="#57606a", linewidth=0.8)
    for place, (arm, found) in enumerate(shown.items()):
        style = EFFECTS[arm]
        for name, (value, (low, high)) in found.items():
            at = names.index(name) + 0.22 * (place - (len(shown) - 1) / 2)
            if low is not None and high is not None:
                axes.hlines(at, low, high, colors=style.colour, linewidth=1.6)
            label = f"{arm} less {BASES[arm]}" if name == next(iter(found)) else None
            axes.plot(value, at, color=style.colour, marker=style.marker, ls="", ms=6.5, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center")
    return figure


def pairs_figure(picture: bytes, real: Mapping[str, Mapping[str, int]]) -> PageFigure:
    """Show synthetic images of every view and source, and say which pairs no real image shows.

    Args:
        picture: a PNG of them, see `echosynth.thesis.pairs.sheet`.
        real: view -> source -> training images.
    """
    unseen = [f"{view} of {name}" for view, row in real.items() for name, number in row.items() if not number]
    note = f"No real training image shows {listing(unseen)}." if unseen else "Real training images show all of them."
    names = listing(next(iter(real.values())))
    caption = f"From left to right {SHOWN} each of {listing(VIEWS)}; from top to bottom in the look of {names}. {note}"
    return PageFigure(embedded(picture), "Synthetic images by view and source", caption)


def _words(result: Json) -> tuple[str, str]:
    """Alternative text and caption of the figure."""
    caption = (
        f"Bars: 95 % interval over {result['intervals_over']}, paired over patients. Right of 0: other sources help."
    )
    return "Difference in macro AUPRC by set of images; numbers in the table below", caption


def _by_arm(result: Json) -> dict[str, Json]:
    """The cells by arm."""
    return {cell["arm"]: cell for cell in result["cells"]}


def _score(value: Score, digits: int = 3) -> str:
    return ABSENT if value is None else decimal(value, digits)
