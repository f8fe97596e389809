"""The figures of the explorations: the same numbers give the same bytes."""

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from echosynth.report.drawing import STYLES, PageFigure, Style, log_places, log_scale, page_figure, panel
from echosynth.report.explorations.inputs import KINDS, Explorations
from echosynth.report.tables import Json

SOLVERS = {
    "ancestral": Style("#000000", "o", "-", "●"),
    "ddim": Style("#0072B2", "s", "--", "■"),
    "dpm++": Style("#D55E00", "^", "-.", "▲"),
    "unipc": Style("#009E73", "D", ":", "◆"),
    "heun": Style("#CC79A7", "v", "-", "▼"),
}
FLOOR = "other real images (floor)"


def curve_figures(results: Explorations) -> list[PageFigure]:
    """Draw figure 5.1 for each kind of features."""
    alt = "Frechet distance against the number of samples; numbers in the table below"
    caption = "One set, sampled once; its beginnings are the smaller sets. All against the same real images."
    return for_each_kind(results, curve, alt, caption)


def along_figures(results: Explorations) -> list[PageFigure]:
    """Draw figure 5.2 for each kind of features."""
    alt = "Frechet distance along the training; numbers in the table below"
    caption = (
        "Images of one training at evenly spaced steps. Bars: standard deviation over draws, where there were several."
    )
    return for_each_kind(results, along, alt, caption)


def solver_figures(results: Explorations) -> list[PageFigure]:
    """Draw the comparison of solvers for each kind of features."""
    alt = "Frechet distance of each solver against network evaluations; numbers in the table below"
    caption = "The same model, noise and order of images for all. Time is in proportion to the evaluations."
    return for_each_kind(results, solvers, alt, caption)


def curve(results: Explorations, kind: str) -> Figure:
    """Draw the distance on one kind of features against the number of samples, with the floor of real images."""
    title, x = "Fréchet distance by number of samples", "samples (log scale)"
    figure, axes = panel(title, x, f"Fréchet distance, {KINDS[kind]}")
    sets = results.curve["points"]
    floors = [row["floor"] for row in sets if row["floor"]]
    for rows, style, label in ((sets, STYLES["synthetic"], "synthetic"), (floors, STYLES["real"], FLOOR)):
        axes.plot([row["count"] for row in rows], [row[kind] for row in rows], label=label, **style.options())
    log_places(axes, [row["count"] for row in sets])
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def along(results: Explorations, kind: str) -> Figure:
    """Draw the distance on one kind of features along the training."""
    figure, axes = panel("Fréchet distance along the training", "step", f"Fréchet distance, {KINDS[kind]} (log scale)")
    snapshots = results.along["points"]
    steps = [row["step"] for row in snapshots]
    means, deviations = ([row[kind][key] or 0.0 for row in snapshots] for key in ("frechet", "frechet_sd"))
    axes.errorbar(steps, means, yerr=deviations, capsize=3, label="synthetic", **STYLES["synthetic"].options())
    axes.axhline(snapshots[-1][kind]["floor_frechet"], color=STYLES["real"].colour, linewidth=1.4, label=FLOOR)
    axes.set_xticks(steps if len(steps) <= 8 else [])
    log_scale(axes)
    axes.legend()
    return figure


def solvers(results: Explorations, kind: str) -> Figure:
    """Draw the distance on one kind of features against network evaluations, a line for each solver."""
    x, y = "network evaluations an image (log scale)", f"Fréchet distance, {KINDS[kind]} (log scale)"
    figure, axes = panel("Solvers", x, y)
    sets = results.solvers["points"]
    _solver_lines(axes, [(row["solver"], row["evaluations"], row[kind]["frechet"]) for row in sets])
    axes.axhline(sets[0][kind]["floor_frechet"], color="#57606a", linewidth=1.2, linestyle=(0, (1, 2)), label="floor")
    log_places(axes, results.params.explore.solver_evaluations)
    log_scale(axes)
    axes.legend(ncols=2)
    return figure


def times(results: Explorations, measured: Json) -> Figure:
    """Draw the distance on echo features against milliseconds an image, a line for each solver."""
    x, y = "milliseconds an image (log scale)", "Fréchet distance, echo features (log scale)"
    figure, axes = panel("Quality against time", x, y)
    distances = {(row["solver"], row["evaluations"]): row["echo"]["frechet"] for row in results.solvers["points"]}
    timed = [(row["solver"], row["evaluations"], 1000 / row["images_per_second"]) for row in measured["points"]]
    known = [(name, time, distances[name, n]) for name, n, time in timed if (name, n) in distances]
    _solver_lines(axes, known)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:.3g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    log_scale(axes)
    axes.legend(ncols=2)
    return figure


def _solver_lines(axes: Axes, rows: list[tuple[str, float, float]]) -> None:
    """Draw (solver, x, y) as a line for each solver that has any."""
    for name, style in SOLVERS.items():
        own = [row[1:] for row in rows if row[0] == name]
        if own:
            axes.plot(*zip(*own, strict=True), label=name, **style.options())


def for_each_kind(
    results: Explorations, draw: Callable[[Explorations, str], Figure], alt: str, caption: str
) -> list[PageFigure]:
    """Draw a figure for each kind of features, with what it shows in words and what stands below it."""
    return [page_figure(draw(results, kind), f"{alt} ({KINDS[kind]})", caption) for kind in results.kinds]
