"""Figures 5.18 and 5.19 and what they left open: ways to help rare views, and whether number or balance helps."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from echosynth.common.views import RARE_VIEWS, VIEWS
from echosynth.report.drawing import WIDTH, PageFigure, page_figure, panel
from echosynth.report.formatting import Score, count, decimal, signed, signed_interval
from echosynth.report.tables import Json, Table
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Matrix, Section, judged
from echosynth.thesis.cells import read_left_out
from echosynth.thesis.rebalancing import PARTS, QUESTION, STRATEGIES

# Macro AUPRC of VGG16 in figure 5.18, with 1,000 real images and 32,000 synthetic ones.
PUBLISHED = {"real": 0.64, "oversampled": 0.86, "oversampled-to-synthetic": 0.93, "synthetic": 0.93}
MATRICES = tuple(PUBLISHED)  # the arms of figure 5.19
# What is changed, while what stays: arm with it, arm without.
EFFECTS = {
    "more images, in real proportions": ("synthetic-many-real", "synthetic-few-real"),
    "more images, balanced": ("synthetic-many-balanced", "synthetic-few-balanced"),
    "balance, of few images": ("synthetic-few-balanced", "synthetic-few-real"),
    "balance, of many images": ("synthetic-many-balanced", "synthetic-many-real"),
}
CLAIM = (
    "With 1,000 real images (VGG16) copies of the rare views up to the largest one raise AUPRC from 0.64 to 0.86, and "
    "copies up to 32,000 images to 0.93, which is what 32,000 synthetic images reach; the authors take both number and "
    "balance to matter, and could not tell them apart."
)
Effect = tuple[str, Score, list[Score]]  # in words, the difference, its interval


def sections(thesis: Thesis) -> list[Section]:
    """Give the section about them; none where it was not asked for."""
    said, figures, tables, matrices = list[str](), list[PageFigure](), list[Table](), list[Matrix]()
    for size, result in thesis.compared(QUESTION).items():
        cells, number = _by_arm(result), f"{count(result['cells'][0]['real_images'])} real images"
        said.append(f"{number}: {verdict(result)}")
        for arm, cell in cells.items():
            if (versus := cell["versus"].get("real")) and arm not in PARTS:
                words = f"{number}, {arm} less real, macro AUPRC"
                said.append(judged(words, versus["macro_auprc"], versus["macro_auprc_interval"]))
            if arm in MATRICES:
                caption = f"{number}, {arm}: {count(cell['images'])} images"
                matrices.append(Matrix(caption, cell["confusion"], cell["confusion_normalised"]))
        figures.append(strategies_figure(result))
        tables.append(strategies_table(result, read_left_out(QUESTION, size)))
        if effects(result):
            figures.append(effects_figure(result))
            tables.append(effects_table(result))
    title = "Other ways to help rare views, and number against balance"
    items = ("Figure 5.18", "Figure 5.19")
    return [Section(items, title, CLAIM, said, figures, tables, matrices)] if said else []


def effects(result: Json, score: str = "macro_auprc") -> list[Effect]:
    """Give what number and balance of synthetic images do, each while the other stays.

    Args:
        result: of `echosynth.evaluation.comparison.compare`, of one subset.
        score: macro_auprc or rare_recall.

    Returns:
        Those of the four effects whose two arms were trained.
    """
    cells = _by_arm(result)
    found = []
    for words, (with_it, without) in EFFECTS.items():
        if with_it in cells and without in cells:
            versus = cells[with_it]["versus"][without]
            found.append((words, versus[score], versus[f"{score}_interval"]))
    return found


def verdict(result: Json) -> str:
    """Say in one sentence what more images and their balance each do to macro AUPRC."""
    found = effects(result)
    if not found:
        return "Number and balance were not compared: the synthetic set is too small."
    words = [f"{what} {_reading(value, bounds)}" for what, value, bounds in found]
    return f"macro AUPRC by what was changed alone: {'; '.join(words)}."


def _reading(value: Score, bounds: list[Score]) -> str:
    low, high = bounds
    if low is None or high is None:
        return f"{signed(value)} (no interval)"
    said = "higher" if low > 0 else "lower" if high < 0 else "open"
    return f"{signed(value)} ({signed_interval(bounds)}, {said})"


def strategies_table(result: Json, left_out: Mapping[str, str]) -> Table:
    """Show every way beside arm real, and the thesis's AUPRC.

    Args:
        result: of `echosynth.evaluation.comparison.compare`, of one subset.
        left_out: arms that could not be made, with the reason.
    """
    rows = []
    for arm, cell in _by_arm(result).items():
        versus = cell["versus"].get("real", {})
        bounds = versus.get("macro_auprc_interval") or [None, None]
        rows.append(
            [
                arm,
                count(cell["images"]),
                count(cell["synthetic"]),
                decimal(cell["macro_auprc"]),
                signed(versus.get("macro_auprc")),
                "–" if bounds[0] is None else signed_interval(bounds),
                decimal(cell["macro_f1"]),
                *(decimal(cell["recall"][view], 2) for view in VIEWS),
                decimal(PUBLISHED.get(arm), 2),
            ]
        )
    header = ["arm", "images", "synthetic", "AUPRC", "to real", "95 % interval", "F1"]
    header += [*(f"recall {view}" for view in VIEWS), "thesis: AUPRC"]
    note = (
        "few: as many synthetic images as there are real ones; many: as many as there are in both mixtures. The "
        f"thesis: VGG16, 1,000 real images.{''.join(f' {arm} is left out: {why}.' for arm, why in left_out.items())}"
    )
    return Table(f"Ways to help rare views, {result['cells'][0]['real_images']:,} real images", header, rows, note=note)


def effects_table(result: Json) -> Table:
    """Show what number and balance of synthetic images do."""
    rare = {what: (value, bounds) for what, value, bounds in effects(result, "rare_recall")}
    rows = []
    for what, value, bounds in effects(result):
        row = [what]
        for change, between in ((value, bounds), rare[what]):
            row += [signed(change), "–" if between[0] is None else signed_interval(between)]
        rows.append(row)
    header = ["changed alone", "AUPRC", "95 % interval", f"recall of {' and '.join(RARE_VIEWS)}", "95 % interval"]
    return Table("Is it the number of synthetic images, or their balance?", header, rows)


def strategies_figure(result: Json) -> PageFigure:
    """Draw macro AUPRC of every way with its interval (figure 5.18)."""
    cells = _by_arm(result)
    title = f"{count(result['cells'][0]['real_images'])} real images"  # the names of the arms leave little room
    figure, axes = panel(title, "macro AUPRC, validation", "", height=0.8 + 0.27 * len(cells))
    for place, (arm, cell) in enumerate(cells.items()):
        colour = "#D55E00" if arm.startswith("synthetic") else "#0072B2"
        bounds = cell.get("interval", {}).get("macro_auprc") or [None, None]
        if bounds[0] is not None:
            axes.hlines(place, bounds[0], bounds[1], colors=colour, linewidth=1.6)
        axes.plot(cell["macro_auprc"], place, "^" if arm.startswith("synthetic") else "o", color=colour, ms=6.5)
        runs = [run["macro_auprc"] for run in result["runs"] if run["arm"] == arm]
        axes.plot(runs, [place] * len(runs), "o", ms=3.4, mfc="white", mec=colour, mew=0.9, zorder=5)
    if "real" in cells:
        axes.axvline(cells["real"]["macro_auprc"], color="#57606a", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(cells)), list(cells))
    axes.invert_yaxis()
    caption = (
        "Circles: real images alone; triangles: synthetic ones alone; bars: 95 % interval over "
        f"{result['intervals_over']}; small dots: single seeds; dotted: real images as they are."
    )
    return page_figure(figure, "Macro AUPRC of each way to help rare views; numbers in the table below", caption)


def effects_figure(result: Json) -> PageFigure:
    """Draw macro AUPRC and the recall of each rare view against the number of synthetic images, balanced or not."""
    cells = _by_arm(result)
    names = {"macro_auprc": "macro AUPRC"} | {view: f"recall of {view}" for view in RARE_VIEWS}
    figure = Figure(figsize=(WIDTH * 1.5, 3.1), layout="constrained")
    for axes, (key, name) in zip(figure.subplots(1, len(names)), names.items(), strict=True):
        for mixture, colour, line, marker in (("real", "#0072B2", "--", "o"), ("balanced", "#D55E00", "-", "^")):
            arms = [arm for much in ("few", "many") if (arm := f"synthetic-{much}-{mixture}") in cells]
            places = [cells[arm]["images"] * (0.97 if mixture == "real" else 1.03) for arm in arms]
            values = [cells[arm]["recall"][key] if key in VIEWS else cells[arm][key] for arm in arms]
            label = "in real proportions" if mixture == "real" else "balanced"
            axes.plot(places, values, color=colour, linestyle=line, marker=marker, label=label)
            for place, arm in zip(places, arms, strict=True):
                known = cells[arm].get("interval", {"recall": {}})
                bounds = known["recall"].get(key) if key in VIEWS else known.get(key)
                if bounds and bounds[0] is not None:
                    axes.vlines(place, bounds[0], bounds[1], colors=colour, linewidth=1.6)
        axes.set(xscale="log", title=name, xlabel="synthetic images")
        numbers = sorted({cells[arm]["images"] for pair in EFFECTS.values() for arm in pair if arm in cells})
        axes.set_xticks(numbers, [count(number) for number in numbers])
        axes.minorticks_off()
    figure.axes[0].legend(loc="lower right")
    alt = "Macro AUPRC and recall of the rare views with few and many synthetic images, balanced or in real proportions"
    caption = f"Synthetic images alone; bars: 95 % interval over {result['intervals_over']}."
    return page_figure(figure, alt, caption)


def _by_arm(result: Json) -> dict[str, Json]:
    """The cells in the order of `STRATEGIES`, whatever order they were read in."""
    cells = {cell["arm"]: cell for cell in result["cells"]}
    return {arm: cells[arm] for arm in STRATEGIES if arm in cells}
