"""Every classifier on the domain shift, as the thesis's figure 5.21 has the final one, and false positives by view."""

from matplotlib.figure import Figure

from echosynth.common.views import VIEWS
from echosynth.report.drawing import STYLES, PageFigure, log_places, page_figure, panel
from echosynth.report.formatting import count, decimal, interval
from echosynth.report.tables import Json, Table
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section, judged

ABSENT = "absent"
POINT = "A4C"  # the view of which the thesis saw many false positives


def sections(thesis: Thesis) -> list[Section]:
    """Give the section about it; none where nothing was scored."""
    metrics = thesis.measured("shift")
    if metrics is None:
        return []
    return [
        Section(
            ("Domain shift",),
            "Every classifier on images of other releases (exploratory)",
            "On CAMUS and Unity most A2C are called A4C or PLAX, A4C is mostly right but with many false positives, "
            "PLAX is mostly right, and some images are called PSAX, which is absent there.",
            shift_verdict(metrics),
            figures=shift_figures(metrics),
            tables=shift_tables(metrics),
        )
    ]


def shift_verdict(metrics: Json) -> list[str]:
    """Word what the shift says, for the first architecture and the largest subset."""
    if not metrics["cells"]:
        return ["No release of a domain shift is named (data.shift_sources)."]
    cells = _largest(metrics)
    own = next((cell for cell in cells if cell["arm"] == "real"), cells[0])
    parts = [f"{view} {decimal(value, 2)}" for view, value in own["false_positives"].items() if value is not None]
    sentences = [
        "Scored once, after all choices: nothing was chosen by these images.",
        f"Arm {own['arm']} on {count(own['real_images'])} real images calls this share of the images of other views "
        f"so: {', '.join(parts)}; recall of {POINT} {_score(own['recall'][POINT], 2)}.",
    ]
    lacking = [view for view, number in metrics["by_view"].items() if not number]
    if lacking:
        sentences.append(f"The set has no image of {', '.join(lacking)}: recall and average precision are absent.")
    for cell in cells:
        if cell is not own and (versus := cell["versus"].get(own["arm"])):
            what = f"{cell['arm']} less {own['arm']}, macro AUPRC"
            sentences.append(judged(what, versus["macro_auprc"], versus["macro_auprc_interval"]))
            if versus.get("false_positives_interval"):
                what = f"{cell['arm']} less {own['arm']}, false positives of {POINT}"
                bounds = versus["false_positives_interval"][POINT]
                sentences.append(judged(what, versus["false_positives"][POINT], bounds))
    return sentences


def shift_figures(metrics: Json) -> list[PageFigure]:
    """Draw false positives by view of the largest subset, and macro AUPRC by subset, of the first architecture."""
    if not metrics["cells"]:
        return []
    bars = f"Bars: 95 % interval over {metrics['intervals_over']}."
    figures = [page_figure(false_positives(metrics), "False positive rate by view and arm", bars)]
    if any(cell["macro_auprc"] is not None for cell in metrics["cells"]):
        alt = "Macro AUPRC on the domain shift by number of real images and arm"
        figures.append(page_figure(scores(metrics), alt, f"{bars} Mean over the views that the set shows."))
    return figures


def false_positives(metrics: Json) -> Figure:
    """Draw the false positive rate of each view, a mark for each arm."""
    cells = _largest(metrics)
    title = f"False positives under shift, {count(cells[0]['real_images'])} real images"
    figure, axes = panel(title, "called view", "share of other views called so")
    for place, cell in enumerate(cells):
        shift = 0.13 * (place - (len(cells) - 1) / 2)
        style, rates = STYLES[cell["arm"]], cell["false_positives"]
        for number, view in enumerate(VIEWS):
            if rates[view] is not None:
                bounds = cell.get("interval", {}).get("false_positives", {}).get(view)
                if bounds and bounds[0] is not None:
                    axes.plot([number + shift] * 2, bounds, color=style.colour, linewidth=1.4)
                label = cell["arm"] if view == VIEWS[0] else None
                axes.plot(number + shift, rates[view], color=style.colour, marker=style.marker, ls="", label=label)
    names = [f"{view}\n({f'{count(n)} images' if n else ABSENT})" for view, n in metrics["by_view"].items()]
    axes.set_xticks(range(len(VIEWS)), names)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.23))
    return figure


def scores(metrics: Json) -> Figure:
    """Draw macro AUPRC on the shift against the number of real images, a line for each arm."""
    figure, axes = panel("Macro AUPRC under shift", "real images (log scale)", "macro AUPRC")
    mine = [cell for cell in metrics["cells"] if cell["architecture"] == metrics["cells"][0]["architecture"]]
    places = sorted({cell["real_images"] for cell in mine})
    arms = dict.fromkeys(cell["arm"] for cell in mine)
    for place, arm in enumerate(arms):
        own = [cell for cell in mine if cell["arm"] == arm and cell["macro_auprc"] is not None]
        x = [cell["real_images"] * 1.05 ** (place - (len(arms) - 1) / 2) for cell in own]
        style = STYLES[arm]
        axes.plot(x, [cell["macro_auprc"] for cell in own], label=arm, **style.options())
        for at, cell in zip(x, own, strict=True):
            if "interval" in cell:
                axes.plot([at, at], cell["interval"]["macro_auprc"], color=style.colour, linewidth=1.2)
    log_places(axes, places)
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    return figure


def shift_tables(metrics: Json) -> list[Table]:
    """Show scores and false positives of each arm, subset and architecture."""
    if not metrics["cells"]:
        return []
    words = ["subset", "arm", "architecture"]
    rows, wrong = [], []
    for cell in metrics["cells"]:
        name = [cell["subset"], cell["arm"], cell["architecture"]]
        recalls = [_score(cell["recall"][view], 2) for view in VIEWS]
        rows.append([*name, _score(cell["macro_auprc"]), _score(cell["macro_f1"]), *recalls])
        bounds = cell.get("interval", {}).get("false_positives", {})
        rates = [
            f"{_score(cell['false_positives'][view], 2)} ({interval(bounds.get(view), 2) or '–'})" for view in VIEWS
        ]
        wrong.append([*name, *rates])
    note = "; ".join(f"{name}: {reason}" for name, reason in metrics["absent"].items())
    return [
        Table(
            f"On {count(metrics['images'])} images of {count(metrics['patients'])} patients of other releases",
            [*words, "AUPRC", "F1", *(f"recall {view}" for view in VIEWS)],
            rows,
            labels=3,
            note=f"Absent: {note}." if note else "",
        ),
        Table(
            "False positives: share of the images of other views that are called so (95 % interval)",
            [*words, *VIEWS],
            wrong,
            labels=3,
            note="A view that the set does not show can be called all the same.",
        ),
    ]


def _largest(metrics: Json) -> list[Json]:
    """Cells of the first architecture and its largest subset."""
    own = [cell for cell in metrics["cells"] if cell["architecture"] == metrics["cells"][0]["architecture"]]
    most = max(cell["real_images"] for cell in own)
    return [cell for cell in own if cell["real_images"] == most]


def _score(value: float | None, digits: int = 3) -> str:
    return ABSENT if value is None else decimal(value, digits)
