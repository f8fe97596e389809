"""The figures of the report, each one panel: the same numbers give the same bytes."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from echosynth.common.views import RARE_VIEWS
from echosynth.report.drawing import STYLES, Picture, log_scale, panel, rendered
from echosynth.report.study.inputs import Inputs, Json
from echosynth.report.words import count

SUBSET_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SUBSET_LINES = ("-", "--", "-.", ":")


def _interval(axes: Axes, x: float, bounds: list[Any] | None, colour: str) -> None:
    """A vertical bar from the lower to the upper end; nothing where there is no interval."""
    if bounds and bounds[0] is not None:
        axes.vlines(x, bounds[0], bounds[1], colors=colour, linewidth=1.6)


def _handles(arms: list[str], lines: bool) -> list[Line2D]:
    """Legend entries of the arms."""
    styles = [(arm, STYLES[arm]) for arm in arms]
    return [
        Line2D([], [], color=s.colour, marker=s.marker, linestyle=s.line if lines else "", markersize=6.5, label=arm)
        for arm, s in styles
    ]


def scores_by_size(inputs: Inputs, architecture: str, tmed2: bool = False) -> Figure:
    """Macro AUPRC against the number of real images, a line for each arm (the shape of the study's figure 5.11).

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
        x = [cell["real_images"] * aside for cell in cells]
        means = [cell["tmed2_macro_auprc" if tmed2 else "macro_auprc"] for cell in cells]
        axes.plot(x, means, color=style.colour, marker=style.marker, linestyle=style.line, ms=6.5)
        for position, cell in zip(x, cells, strict=True):
            scores = [(run["tmed2"] or {}) if tmed2 else run for run in inputs.seeds(cell)]
            _seeds(axes, 1.02 * position, [score.get("macro_auprc") for score in scores], style.colour)
            if not tmed2:
                _interval(axes, position, cell.get("interval", {}).get("macro_auprc"), style.colour)
    axes.set_xscale("log")
    sizes = list(inputs.sizes.values())
    axes.set_xticks(sizes, [count(size) for size in sizes])
    axes.set_xticks([], minor=True)
    axes.legend(handles=_handles(inputs.arms, lines=True), loc="lower right")
    return figure


def recall_by_size(inputs: Inputs, architecture: str, view: str) -> Figure:
    """Recall of one view by subset, the arms beside each other."""
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
    # Above the bars, which may be anywhere between 0 and 1.
    axes.set_title(axes.get_title(loc="left"), loc="left", pad=26)
    place_above: dict[str, Any] = {
        "loc": "lower left",
        "bbox_to_anchor": (-0.02, 1.0),
        "ncols": 4,
        "columnspacing": 1.2,
        "handletextpad": 0.2,
    }
    axes.legend(handles=_handles(inputs.arms, lines=False), **place_above)
    return figure


def _seeds(axes: Axes, x: float, values: list[Any], colour: str) -> None:
    """Single seeds as small hollow dots."""
    known = [value for value in values if value is not None]
    if len(known) > 1:
        axes.plot([x] * len(known), known, "o", ms=3.4, mfc="white", mec=colour, mew=0.9, zorder=5, clip_on=False)


def differences(inputs: Inputs, key: str, name: str) -> Figure:
    """Difference of each arm to real with its interval, a row for each subset and arm.

    Args:
        inputs: the inputs of the report.
        key: "rare_recall" or "macro_auprc".
        name: the score in words.
    """
    rows: list[tuple[str, Json]] = []
    for subset in inputs.sizes:
        cells = [cell for arm in inputs.arms if (cell := inputs.cell(subset, arm)) and cell["versus_real"]]
        rows += [(subset, cell) for cell in cells]
    figure, axes = panel(
        f"Difference to real: {name}", "difference (right of 0: higher than real)", "", 1.5 + 0.3 * len(rows)
    )
    axes.axvline(0, color="#57606a", linewidth=1.2)
    places, y, before = [], 0.0, ""
    for subset, cell in rows:
        y += 1.6 if before and subset != before else 1.0
        before, style, versus = subset, STYLES[cell["arm"]], cell["versus_real"]
        bounds = versus[f"{key}_interval"]
        if bounds[0] is not None:
            axes.hlines(y, bounds[0], bounds[1], colors=style.colour, linewidth=2)
        axes.plot(versus[key], y, color=style.colour, marker=style.marker, ms=7, linestyle="")
        places.append(y)
    axes.set_yticks(places, [f"{count(cell['real_images'])} real, {cell['arm']}" for _, cell in rows])
    axes.set_ylim(y + 0.8, 0.2)
    axes.grid(axis="y", visible=False)
    return figure


def learning_curves(inputs: Inputs, column: str, name: str) -> Figure:
    """Loss of the diffusion models by step, a line for each subset."""
    figure, axes = panel(f"Diffusion: {name}", "step", f"{name} (log scale)")
    for index, (subset, model) in enumerate(inputs.diffusion.items()):
        points = model.curve[["step", column]].dropna()
        colour, line = SUBSET_COLOURS[index % len(SUBSET_COLOURS)], SUBSET_LINES[index % len(SUBSET_LINES)]
        marker = "o" if len(points) <= 20 else ""
        axes.plot(
            points["step"], points[column], color=colour, linestyle=line, marker=marker, ms=4, label=f"subset {subset}"
        )
    log_scale(axes)
    axes.legend()
    return figure


def along(inputs: Inputs) -> Figure:
    """Frechet distance of a few samples at each snapshot, the chosen one marked."""
    figure, axes = panel("Fréchet distance along the training", "step", "Fréchet distance, echo features (log scale)")
    for index, (subset, model) in enumerate(inputs.diffusion.items()):
        colour, line = SUBSET_COLOURS[index % len(SUBSET_COLOURS)], SUBSET_LINES[index % len(SUBSET_LINES)]
        nearest = model.snapshots.groupby("step", as_index=False)["frechet"].min()
        axes.plot(
            nearest["step"],
            nearest["frechet"],
            color=colour,
            linestyle=line,
            marker="o",
            ms=4,
            label=f"subset {subset}",
        )
        axes.plot(model.metrics["step"], model.metrics["frechet"], color=colour, marker="*", ms=13)
    log_scale(axes)
    axes.legend()
    return figure


def distances(inputs: Inputs) -> Figure:
    """Frechet distance of each synthetic set beside the floor of real images at the same n."""
    figure, axes = panel(
        "Fréchet distance to real validation images",
        "real images that the model saw",
        "Fréchet distance, echo features",
    )
    found = [model.fidelity["echo"] for model in inputs.diffusion.values()]
    places = np.arange(len(found))
    series = (
        ("", "synthetic", STYLES["synthetic"], -0.07),
        ("floor_", "real test images (floor)", STYLES["real"], 0.07),
    )
    for prefix, label, style, aside in series:
        means = [row[f"{prefix}frechet"] for row in found]
        sds = [row[f"{prefix}frechet_sd"] for row in found]
        axes.errorbar(
            places + aside,
            means,
            yerr=sds,
            color=style.colour,
            marker=style.marker,
            ms=7,
            linestyle="",
            capsize=3,
            label=label,
        )
    axes.set_xticks(places, [count(model.metrics["images"]) for model in inputs.diffusion.values()])
    axes.set_xlim(-0.6, len(found) - 0.4)
    axes.set_ylim(bottom=0)
    axes.grid(axis="x", visible=False)
    axes.legend()
    return figure


def classifier_pictures(inputs: Inputs) -> list[Picture]:
    """AUPRC and recall of the rare views, for every architecture."""
    dots = "Large: mean of the seeds; bar: 95 % interval over patients; small dots: single seeds."
    pictures = []
    for name in inputs.params.classifier.architectures:
        alt = f"Macro AUPRC of {name} against the number of real images, for each arm; numbers in the table below"
        pictures.append(Picture(rendered(scores_by_size(inputs, name)), alt, dots))
        if "tmed2" in inputs.params.data.train_sources:
            alt = f"Macro AUPRC of {name} on TMED-2 alone against the number of real images, for each arm"
            caption = "Large: mean of the seeds; small dots: single seeds. Here no source gives the view away."
            pictures.append(Picture(rendered(scores_by_size(inputs, name, tmed2=True)), alt, caption))
        for view in RARE_VIEWS:
            alt = f"Recall of {view} of {name} by subset and arm; numbers in the table below"
            pictures.append(Picture(rendered(recall_by_size(inputs, name, view)), alt, dots))
    return pictures


def difference_pictures(inputs: Inputs) -> list[Picture]:
    """Differences to real in recall of the rare views and in AUPRC; empty when there is nothing to compare with."""
    if not any(cell["versus_real"] for cell in inputs.comparison["cells"]):
        return []
    names = {"rare_recall": f"recall of {' and '.join(RARE_VIEWS)}", "macro_auprc": "macro AUPRC"}
    caption = "Bar: 95 % interval over patients. Where it crosses 0, the direction is open."
    return [
        Picture(
            rendered(differences(inputs, key, name)),
            f"Difference of each arm to real in {name}; numbers in the table below",
            caption,
        )
        for key, name in names.items()
    ]


def diffusion_pictures(inputs: Inputs) -> list[Picture]:
    """Learning curves and distances."""
    curves = {
        "loss": ("training loss", "On training images; each point is a mean over the steps since the last one."),
        "validation_loss": (
            "validation loss",
            "On real validation images. A rise while the training loss falls is overfitting.",
        ),
    }
    pictures = [
        Picture(rendered(learning_curves(inputs, column, name)), f"{name} of the diffusion models by step", caption)
        for column, (name, caption) in curves.items()
    ]
    if all(model.snapshots["frechet"].notna().all() for model in inputs.diffusion.values()):
        caption = (
            f"{inputs.params.diffusion.snapshot_images} samples a snapshot, so that the level is higher than below; "
            "the better of the averages counts, and a star marks the snapshot that is used."
        )
        pictures.append(Picture(rendered(along(inputs)), "Frechet distance of the models' samples by step", caption))
    alt = "Frechet distance of each synthetic set beside that of real test images; numbers in the table below"
    caption = "Lower is closer. Bars: standard deviation over draws. Both sides use the same number of images."
    return [*pictures, Picture(rendered(distances(inputs)), alt, caption)]
