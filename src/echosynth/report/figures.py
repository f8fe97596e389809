"""The figures of the report, each one panel, as PNG in base64: the same numbers give the same bytes."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from echosynth.images.grid import grid
from echosynth.images.store import Images
from echosynth.report.inputs import Inputs, Json
from echosynth.report.words import count
from echosynth.views import RARE_VIEWS


@dataclass(frozen=True)
class Style:
    """Colour (Okabe and Ito's set for colour-blind readers), marker, line style and the marker as a character."""

    colour: str
    marker: str
    line: str
    glyph: str


STYLES = {
    "real": Style("#000000", "o", "-", "●"),
    "upsampled": Style("#0072B2", "s", "--", "■"),
    "synthetic": Style("#D55E00", "^", "-.", "▲"),
    "mixed": Style("#009E73", "D", ":", "◆"),
}
SUBSET_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SUBSET_LINES = ("-", "--", "-.", ":")
WIDTH, HEIGHT, DPI = 5.6, 3.9, 200  # inches; a figure is shown at 100 pixels an inch at most
LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#57606a",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


@contextmanager
def look() -> Iterator[None]:
    """The report's own look, whatever settings the user's machine has; they are restored at the end."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(LOOK)
        yield


def embedded(png: bytes) -> str:
    """A PNG as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def rendered(figure: Figure) -> str:
    """A figure as an embedded PNG, without anything that depends on time or version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return embedded(buffer.getvalue())


def mosaic(images: Images, columns: int) -> str:
    """Images (n, S, S) uint8 side by side, `columns` a row, with white gaps, as an embedded PNG."""
    sheet = grid(images, columns, gap=max(1, images.shape[1] // 28))
    return embedded(cv2.imencode(".png", sheet)[1].tobytes())


def _axes(title: str, x: str, y: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _interval(axes: Axes, x: float, bounds: list[Any] | None, colour: str) -> None:
    """A vertical bar from the lower to the upper end; nothing where there is no interval."""
    if bounds and bounds[0] is not None:
        axes.vlines(x, bounds[0], bounds[1], colors=colour, linewidth=1.6)


def _arm_legend(axes: Axes, arms: list[str], lines: bool, location: str = "best") -> None:
    handles = [
        Line2D([], [], color=s.colour, marker=s.marker, linestyle=s.line if lines else "", markersize=6.5, label=arm)
        for arm in arms
        for s in (STYLES[arm],)
    ]
    axes.legend(handles=handles, loc=location)


def scores_by_size(inputs: Inputs, architecture: str) -> Figure:
    """Macro AUPRC against the number of real images, a line for each arm (the shape of the study's figure 5.11)."""
    figure, axes = _axes(f"Macro AUPRC by real images, {architecture}", "real images (log scale)", "macro AUPRC, validation")
    for index, arm in enumerate(inputs.arms):
        cells = [cell for subset in inputs.sizes if (cell := inputs.cell(subset, arm, architecture))]
        style, aside = STYLES[arm], 1.03 ** (index - (len(inputs.arms) - 1) / 2)  # beside each other, not on top
        x = [cell["real_images"] * aside for cell in cells]
        axes.plot(
            x, [cell["macro_auprc"] for cell in cells], color=style.colour, marker=style.marker, linestyle=style.line, ms=6.5
        )
        for position, cell in zip(x, cells, strict=True):
            _interval(axes, position, cell.get("interval", {}).get("macro_auprc"), style.colour)
            _seeds(axes, position, [run["macro_auprc"] for run in inputs.seeds(cell)], style.colour)
    axes.set_xscale("log")
    sizes = list(inputs.sizes.values())
    axes.set_xticks(sizes, [count(size) for size in sizes])
    axes.set_xticks([], minor=True)
    _arm_legend(axes, inputs.arms, lines=True, location="lower right")
    return figure


def recall_by_size(inputs: Inputs, architecture: str, view: str) -> Figure:
    """Recall of one view by subset, the arms beside each other."""
    figure, axes = _axes(f"Recall of {view}, {architecture}", "real images", f"recall of {view}, validation")
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
            _seeds(axes, x, [run["recall"][view] for run in inputs.seeds(cell)], style.colour)
    axes.set_xticks(range(len(inputs.sizes)), [count(size) for size in inputs.sizes.values()])
    axes.grid(axis="x", visible=False)
    axes.set_ylim(0, 1.02)
    # Above the bars, which may be anywhere between 0 and 1.
    axes.set_title(axes.get_title(loc="left"), loc="left", pad=26)
    handles = [Line2D([], [], color=s.colour, marker=s.marker, linestyle="", label=a) for a in inputs.arms for s in (STYLES[a],)]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, columnspacing=1.2, handletextpad=0.2)
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
    figure, axes = _axes(f"Difference to real: {name}", "difference (right of 0: higher than real)", "", 1.5 + 0.3 * len(rows))
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
    figure, axes = _axes(f"Diffusion: {name}", "step", f"{name} (log scale)")
    for index, (subset, model) in enumerate(inputs.diffusion.items()):
        points = model.curve[["step", column]].dropna()
        colour, line = SUBSET_COLOURS[index % len(SUBSET_COLOURS)], SUBSET_LINES[index % len(SUBSET_LINES)]
        marker = "o" if len(points) <= 20 else ""
        axes.plot(points["step"], points[column], color=colour, linestyle=line, marker=marker, ms=4, label=f"subset {subset}")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter("{x:.3g}")
    axes.tick_params(axis="y", which="minor", labelsize=8.5)
    axes.legend()
    return figure


def distances(inputs: Inputs) -> Figure:
    """Frechet distance of each synthetic set beside the floor of real images at the same n."""
    figure, axes = _axes("Fréchet distance to real validation images", "subset (real images)", "Fréchet distance, echo features")
    found = [model.fidelity["echo"] for model in inputs.diffusion.values()]
    places = np.arange(len(found))
    series = (("", "synthetic", STYLES["synthetic"], -0.07), ("floor_", "real test images (floor)", STYLES["real"], 0.07))
    for prefix, label, style, aside in series:
        means = [row[f"{prefix}frechet"] for row in found]
        sds = [row[f"{prefix}frechet_sd"] for row in found]
        axes.errorbar(
            places + aside, means, yerr=sds, color=style.colour, marker=style.marker, ms=7, linestyle="", capsize=3, label=label
        )
    names = [f"{subset}\n({count(model.metrics['images'])})" for subset, model in inputs.diffusion.items()]
    axes.set_xticks(places, names)
    axes.set_xlim(-0.6, len(found) - 0.4)
    axes.set_ylim(bottom=0)
    axes.grid(axis="x", visible=False)
    axes.legend()
    return figure


@dataclass(frozen=True)
class Picture:
    """A figure of the page."""

    source: str
    alt: str
    caption: str


def classifier_pictures(inputs: Inputs) -> list[Picture]:
    """AUPRC and recall of the rare views, for every architecture."""
    dots = "Large: mean of the seeds; bar: 95 % interval over patients; small dots: single seeds."
    pictures = []
    for name in inputs.params.classifier.architectures:
        alt = f"Macro AUPRC of {name} against the number of real images, for each arm; numbers in the table below"
        pictures.append(Picture(rendered(scores_by_size(inputs, name)), alt, dots))
        for view in RARE_VIEWS:
            alt = f"Recall of {view} of {name} by subset and arm; numbers in the table below"
            pictures.append(Picture(rendered(recall_by_size(inputs, name, view)), alt, dots))
    return pictures


def difference_pictures(inputs: Inputs) -> list[Picture]:
    """Differences to real in recall of the rare views and in AUPRC; empty when there is nothing to compare with."""
    if not any(cell["versus_real"] for cell in inputs.comparison["cells"]):
        return []
    names = {"rare_recall": f"recall of {' and '.join(RARE_VIEWS)}", "macro_auprc": "macro AUPRC"}
    caption = "Bar: 95 % interval over patients. A bar that crosses 0 shows no difference."
    return [
        Picture(rendered(differences(inputs, key, name)), f"Difference of each arm to real in {name}; numbers in the table below", caption)
        for key, name in names.items()
    ]


def diffusion_pictures(inputs: Inputs) -> list[Picture]:
    """Learning curves and distances."""
    curves = {
        "loss": ("training loss", "On training images; each point is a mean over the steps since the last one."),
        "validation_loss": ("validation loss", "On real validation images. A rise while the training loss falls is overfitting."),
    }
    pictures = [
        Picture(rendered(learning_curves(inputs, column, name)), f"{name} of the diffusion models by step", caption)
        for column, (name, caption) in curves.items()
    ]
    alt = "Frechet distance of each synthetic set beside that of real test images; numbers in the table below"
    caption = "Lower is closer. Bars: standard deviation over draws. Both sides use the same number of images."
    return [*pictures, Picture(rendered(distances(inputs)), alt, caption)]
