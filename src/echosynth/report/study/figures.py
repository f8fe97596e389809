"""The figures of the report, each one panel: the same numbers give the same bytes."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from echosynth.common.views import RARE_VIEWS
from echosynth.report.drawing import STYLES, PageFigure, log_places, log_scale, page_figure, panel
from echosynth.report.formatting import Score, count
from echosynth.report.study.inputs import Inputs

SUBSET_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SUBSET_LINES = ("-", "--", "-.", ":")


def classifier_figures(inputs: Inputs) -> list[PageFigure]:
    """Draw AUPRC and recall of the rare views, for every architecture."""
    dots = f"Large: mean of the seeds; bar: 95 % interval over {inputs.intervals_over}; small dots: single seeds."
    figures = []
    for name in inputs.params.arms.architectures:
        alt = f"Macro AUPRC of {name} against the number of real images, for each arm; numbers in the table below"
        figures.append(page_figure(scores_by_size(inputs, name), alt, dots))
        if "tmed2" in inputs.params.data.train_sources:
            alt = f"Macro AUPRC of {name} on TMED-2 alone against the number of real images, for each arm"
            caption = "Large: mean of the seeds; small dots: single seeds. Here no source gives the view away."
            figures.append(page_figure(scores_by_size(inputs, name, tmed2=True), alt, caption))
        for view in RARE_VIEWS:
            alt = f"Recall of {view} of {name} by subset and arm; numbers in the table below"
            figures.append(page_figure(recall_by_size(inputs, name, view), alt, dots))
    return figures


def difference_figures(inputs: Inputs) -> list[PageFigure]:
    """Draw differences to real in recall of the rare views and in AUPRC; none where nothing was compared with real."""
    if not any(cell["versus"].get("real") for cell in inputs.comparison["cells"]):
        return []
    names = {"rare_recall": f"recall of {' and '.join(RARE_VIEWS)}", "macro_auprc": "macro AUPRC"}
    caption = f"Bar: 95 % interval over {inputs.intervals_over}. Where it crosses 0, the direction is open."
    return [
        page_figure(
            differences(inputs, key, name),
            f"Difference of each arm to real in {name}; numbers in the table below",
            caption,
        )
        for key, name in names.items()
    ]


def diffusion_figures(inputs: Inputs) -> list[PageFigure]:
    """Draw learning curves and distances of the diffusion models."""
    curves = {
        "loss": ("training loss", "On training images; each point is a mean over the steps since the last one."),
        "validation_loss": (
            "validation loss",
            "On real validation images. A rise while the training loss falls is overfitting.",
        ),
    }
    figures = [
        page_figure(learning_curves(inputs, column, name), f"{name} of the diffusion models by step", caption)
        for column, (name, caption) in curves.items()
    ]
    if all(model.snapshots["kernel"].notna().all() for model in inputs.diffusion.values()):
        caption = (
            f"{inputs.params.diffusion.snapshot_images} samples a snapshot, so that it is less certain than below; "
            "the better of the averages counts, and a star marks the snapshot that is used."
        )
        figures.append(page_figure(along(inputs), "Kernel distance of the models' samples by step", caption))
    alt = "Kernel distance of each synthetic set beside that of real test images; numbers in the table below"
    caption = "Lower is closer. Bars: standard deviation over draws. Both sides use the same number of images."
    return [*figures, page_figure(distances(inputs), alt, caption)]


def scores_by_size(inputs: Inputs, architecture: str, tmed2: bool = False) -> Figure:
    """Draw macro AUPRC against the number of real images, a line for each arm (the study's figure 5.11).

    Args:
        inputs: the inputs of the report.
        architecture: which classifiers.
        tmed2: on TMED-2 alone, where no source gives the view away; that has no intervals.
    """
    title = f"Macro AUPRC{' on TMED-2 alone' if tmed2 else ''}, {architecture}"
    figure, axes = panel(title, "real images (log scale)", "macro AUPRC, validation")
    for index, arm in enumerate(inputs.arms):
        cells = [cell for subset in inputs.sizes if (cell := inputs.cell(subset, arm, architecture))]
        style, aside = STYLES[arm], 1.05 ** (index - (len(inputs.arms) - 1) / 2)  # beside each other, not on top
        places = [cell["real_images"] * aside for cell in cells]
        means = [cell["tmed2_macro_auprc" if tmed2 else "macro_auprc"] for cell in cells]
        axes.plot(places, means, **style.options())
        for place, cell in zip(places, cells, strict=True):
            scores = [(run["tmed2"] or {}) if tmed2 else run for run in inputs.seeds(cell)]
            _seeds(axes, 1.02 * place, [score.get("macro_auprc") for score in scores], style.colour)
            if not tmed2:
                _interval(axes, place, cell.get("interval", {}).get("macro_auprc"), style.colour)
    log_places(axes, list(inputs.sizes.values()))
    axes.legend(handles=_handles(inputs.arms), loc="lower right")
    return figure


def recall_by_size(inputs: Inputs, architecture: str, view: str) -> Figure:
    """Draw the recall of one view by subset, the arms beside each other."""
    figure, axes = panel(f"Recall of {view}, {architecture}", "real images", f"recall of {view}, validation")
    step = 0.8 / len(inputs.arms)
    for place, subset in enumerate(inputs.sizes):
        for index, arm in enumerate(inputs.arms):
            cell = inputs.cell(subset, arm, architecture)
            if not cell or cell["recall"][view] is None:
                continue
            x, style = place + (index - (len(inputs.arms) - 1) / 2) * step, STYLES[arm]
            axes.bar(x, cell["recall"][view], width=0.86 * step, color=style.colour, alpha=0.16)
            axes.plot(x, cell["recall"][view], color=style.colour, marker=style.marker, ms=7, clip_on=False, zorder=4)
            _interval(axes, x, cell.get("interval", {}).get("recall", {}).get(view), style.colour)
            _seeds(axes, x + 0.25 * step, [run["recall"][view] for run in inputs.seeds(cell)], style.colour)
    axes.set_xticks(range(len(inputs.sizes)), [count(size) for size in inputs.sizes.values()])
    axes.grid(axis="x", visible=False)
    axes.set_ylim(0, 1.02)
    # The legend stands above the bars, which may be anywhere between 0 and 1.
    handles, columns = _handles(inputs.arms, lines=False), 4
    axes.set_title(axes.get_title(loc="left"), loc="left", pad=10 + 16 * -(-len(handles) // columns))
    spaces = {"columnspacing": 1.2, "handletextpad": 0.2}
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, **spaces)
    return figure


def differences(inputs: Inputs, key: str, name: str) -> Figure:
    """Draw the difference of each arm to real with its interval, a row for each subset and arm.

    Args:
        inputs: the inputs of the report.
        key: "rare_recall" or "macro_auprc".
        name: the score in words.
    """
    cells = [cell for subset in inputs.sizes for cell in inputs.cells(subset) if cell["versus"].get("real")]
    height = 1.7 + 0.3 * len(cells)
    figure, axes = panel(f"Difference to real:\n{name}", "difference (right of 0: higher than real)", "", height)
    axes.axvline(0, color="#57606a", linewidth=1.2)
    places, y, before = [], 0.0, ""
    for cell in cells:
        y += 1.6 if before and cell["subset"] != before else 1.0
        before, style, versus = cell["subset"], STYLES[cell["arm"]], cell["versus"].get("real")
        bounds = versus[f"{key}_interval"]
        if bounds[0] is not None:
            axes.hlines(y, bounds[0], bounds[1], colors=style.colour, linewidth=2)
        axes.plot(versus[key], y, color=style.colour, marker=style.marker, ms=7, linestyle="")
        places.append(y)
    axes.set_yticks(places, [f"{count(cell['real_images'])} real, {cell['arm']}" for cell in cells])
    axes.set_ylim(y + 0.8, 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(6))  # more labels would touch
    axes.grid(axis="y", visible=False)
    return figure


def learning_curves(inputs: Inputs, column: str, name: str) -> Figure:
    """Draw a loss of the diffusion models by step, a line for each subset.

    Args:
        inputs: the inputs of the report.
        column: "loss" or "validation_loss".
        name: the loss in words.
    """
    figure, axes = panel(f"Diffusion: {name}", "step", f"{name} (log scale)")
    for index, (subset, model) in enumerate(inputs.diffusion.items()):
        rows = model.curve[["step", column]].dropna()
        marker = "o" if len(rows) <= 20 else ""
        axes.plot(rows["step"], rows[column], marker=marker, **_subset_options(index, subset))
    log_scale(axes)
    axes.legend()
    return figure


def along(inputs: Inputs) -> Figure:
    """Draw the kernel distance of a few samples at each snapshot, the chosen one marked."""
    figure, axes = panel("Kernel distance along the training", "step", "kernel distance, echo features")
    for index, (subset, model) in enumerate(inputs.diffusion.items()):
        options = _subset_options(index, subset)
        nearest = model.snapshots.groupby("step", as_index=False)["kernel"].min()
        axes.plot(nearest["step"], nearest["kernel"], marker="o", **options)
        axes.plot(model.metrics["step"], model.metrics["kernel"], color=options["color"], marker="*", ms=13)
    axes.legend()
    return figure


def distances(inputs: Inputs) -> Figure:
    """Draw the kernel distance of the synthetic sets of all generators beside the floor of real images."""
    title, y = "Kernel distance to real validation images", "kernel distance, echo features"
    figure, axes = panel(title, "real images that the generator saw", y)
    models = list(inputs.diffusion.values())
    places, generators = np.arange(len(models)), list(models[0].sets)
    series = [(name, "", name, STYLES["synthetic" if name == "diffusion" else name]) for name in generators]
    series.append(("diffusion", "floor_", "real test images (floor)", STYLES["real"]))
    for index, (generator, prefix, label, style) in enumerate(series):
        scores = [model.sets[generator].fidelity["echo"] for model in models]
        if None in (row[f"{prefix}kernel"] for row in scores):
            continue  # no floor
        means, deviations = ([row[f"{prefix}kernel{key}"] for row in scores] for key in ("", "_sd"))
        options = style.options() | {"linestyle": "", "ms": 7}
        aside = 0.12 * (index - (len(series) - 1) / 2)
        axes.errorbar(places + aside, means, yerr=deviations, capsize=3, label=label, **options)
    axes.axhline(0, color="#57606a", linewidth=1.2)
    axes.set_xticks(places, [count(model.metrics["images"]) for model in models])
    axes.set_xlim(-0.6, len(models) - 0.4)
    axes.grid(axis="x", visible=False)
    axes.legend()
    return figure


def _subset_options(index: int, subset: str) -> dict[str, Any]:
    """Give Matplotlib's keyword arguments for the line of a subset, but for its marker."""
    colour, line = SUBSET_COLOURS[index % len(SUBSET_COLOURS)], SUBSET_LINES[index % len(SUBSET_LINES)]
    return {"color": colour, "linestyle": line, "ms": 4, "label": f"subset {subset}"}


def _interval(axes: Axes, x: float, bounds: list[Any] | None, colour: str) -> None:
    """Draw a vertical bar from the lower to the upper end; nothing where there is no interval."""
    if bounds and bounds[0] is not None:
        axes.vlines(x, bounds[0], bounds[1], colors=colour, linewidth=1.6)


def _seeds(axes: Axes, x: float, values: list[Score], colour: str) -> None:
    """Draw single seeds as small hollow dots."""
    known = [value for value in values if value is not None]
    if len(known) > 1:
        axes.plot([x] * len(known), known, "o", ms=3.4, mfc="white", mec=colour, mew=0.9, zorder=5, clip_on=False)


def _handles(arms: list[str], lines: bool = True) -> list[Line2D]:
    """Make legend entries of the arms, with or without their lines."""
    plain = {} if lines else {"linestyle": ""}
    return [Line2D([], [], label=arm, **STYLES[arm].options() | plain) for arm in arms]
