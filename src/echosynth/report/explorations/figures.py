"""The figures of the explorations: the same numbers give the same bytes."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from echosynth.report.drawing import STYLES, Picture, Style, log_scale, panel, rendered
from echosynth.report.explorations.inputs import KINDS, Explorations, Json
from echosynth.report.words import count

SOLVERS = {
    "ancestral": Style("#000000", "o", "-", "●"),
    "ddim": Style("#0072B2", "s", "--", "■"),
    "dpm++": Style("#D55E00", "^", "-.", "▲"),
    "unipc": Style("#009E73", "D", ":", "◆"),
    "heun": Style("#CC79A7", "v", "-", "▼"),
}

FLOOR = "other real images (floor)"


def _log(axes: Axes, values: Sequence[int]) -> None:
    """A logarithmic x axis with the measured places as ticks, every other one where they are many."""
    axes.set_xscale("log")
    shown = values if len(values) <= 8 else values[::-2][::-1]
    axes.set_xticks(shown, [count(value) for value in shown])
    axes.xaxis.set_minor_locator(NullLocator())


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], style: Style, label: str) -> None:
    axes.plot(x, y, color=style.colour, marker=style.marker, linestyle=style.line, ms=6.5, label=label)


def curve(found: Explorations, kind: str) -> Figure:
    """Figure 5.1: distance against the number of samples, with the floor of real images."""
    figure, axes = panel(
        "Fréchet distance by number of samples", "samples (log scale)", f"Fréchet distance, {KINDS[kind]}"
    )
    points, style, real = found.curve["points"], STYLES["synthetic"], STYLES["real"]
    numbers = [point["count"] for point in points]
    axes.plot(
        numbers,
        [point[kind] for point in points],
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        ms=6.5,
        label="synthetic",
    )
    floors = [point["floor"] for point in points if point["floor"]]
    axes.plot(
        [floor["count"] for floor in floors],
        [floor[kind] for floor in floors],
        color=real.colour,
        marker=real.marker,
        linestyle=real.line,
        ms=6.5,
        label="other real images (floor)",
    )
    _log(axes, numbers)
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def along(found: Explorations, kind: str) -> Figure:
    """Figure 5.2: distance along the training."""
    figure, axes = panel("Fréchet distance along the training", "step", f"Fréchet distance, {KINDS[kind]} (log scale)")
    points, style = found.along["points"], STYLES["synthetic"]
    axes.errorbar(
        [point["step"] for point in points],
        [point[kind]["frechet"] for point in points],
        yerr=[point[kind]["frechet_sd"] for point in points],
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        ms=6.5,
        capsize=3,
        label="synthetic",
    )
    axes.axhline(
        points[-1][kind]["floor_frechet"], color=STYLES["real"].colour, linewidth=1.4, label="other real images (floor)"
    )
    axes.set_xticks([point["step"] for point in points] if len(points) <= 8 else [])
    log_scale(axes)
    axes.legend()
    return figure


def solvers(found: Explorations, kind: str) -> Figure:
    """Distance against the number of network evaluations, a line for each solver."""
    figure, axes = panel(
        "Solvers", "network evaluations an image (log scale)", f"Fréchet distance, {KINDS[kind]} (log scale)"
    )
    points = found.solvers["points"]
    for name, style in SOLVERS.items():
        own = [point for point in points if point["solver"] == name]
        if own:
            _line(axes, [point["evaluations"] for point in own], [point[kind]["frechet"] for point in own], style, name)
    axes.axhline(points[0][kind]["floor_frechet"], color="#57606a", linewidth=1.2, linestyle=(0, (1, 2)), label="floor")
    _log(axes, found.params.explore.solver_evaluations)
    log_scale(axes)
    axes.legend(ncols=2)
    return figure


def times(found: Explorations, measured: Json) -> Figure:
    """Distance on echo features against seconds an image, a line for each solver."""
    figure, axes = panel(
        "Quality against time", "milliseconds an image (log scale)", "Fréchet distance, echo features (log scale)"
    )
    distances = {(point["solver"], point["evaluations"]): point["echo"]["frechet"] for point in found.solvers["points"]}
    for name, style in SOLVERS.items():
        own = [
            (1000 / point["images_per_second"], distances[name, point["evaluations"]])
            for point in measured["points"]
            if point["solver"] == name and (name, point["evaluations"]) in distances
        ]
        if own:
            x, y = zip(*own, strict=True)
            _line(axes, x, y, style, name)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:.3g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    log_scale(axes)
    axes.legend(ncols=2)
    return figure


def pictures(found: Explorations, name: str) -> list[Picture]:
    """Figures of "curve", "along" or "solvers", one for each kind of features."""
    draw = {"curve": curve, "along": along, "solvers": solvers}[name]
    captions = {
        "curve": "One set, sampled once; its beginnings are the smaller sets. All against the same real images.",
        "along": "Images of one training at evenly spaced steps. Bars: standard deviation over draws.",
        "solvers": "The same model, noise and order of images for all. Time is in proportion to the evaluations.",
    }
    alt = {
        "curve": "Frechet distance against the number of samples; numbers in the table below",
        "along": "Frechet distance along the training; numbers in the table below",
        "solvers": "Frechet distance of each solver against network evaluations; numbers in the table below",
    }
    return [
        Picture(rendered(draw(found, kind)), f"{alt[name]} ({KINDS[kind]})", captions[name]) for kind in found.kinds
    ]
