"""Training loss against distance along a training: whether the loss says which snapshot samples best."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from scipy.stats import spearmanr

from echosynth.report.drawing import STYLES, PageFigure, log_scale, panel
from echosynth.report.explorations.figures import for_each_kind
from echosynth.report.explorations.inputs import KINDS, Explorations
from echosynth.report.formatting import count, decimal, listing
from echosynth.report.tables import Json

FEWEST = 3  # of two points the ranks always agree or disagree in full
MOST_NAMED, GAP = 16, 0.062  # points whose step is named, and how far apart as a share of the height


def rank_correlation(x: Sequence[float | None], y: Sequence[float]) -> float | None:
    """Compute Spearman's correlation (scipy) of the pairs that have both; None of fewer than three, and where one side
    is the same for all."""
    pairs = [(first, second) for first, second in zip(x, y, strict=True) if first is not None]
    if len(pairs) < FEWEST or min(len(set(side)) for side in zip(*pairs, strict=True)) < 2:
        return None
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def loss_figures(results: Explorations) -> list[PageFigure]:
    """Draw distance against training loss for each kind of features."""
    alt = "Frechet distance of each snapshot against the training loss; numbers in the table above"
    caption = "Snapshots of one training, joined in order; a grey line leads to the step of each. No axis has a unit."
    return for_each_kind(results, distance_by_loss, alt, caption)


def distance_by_loss(results: Explorations, kind: str) -> Figure:
    """Draw the distance on one kind of features against the mean loss since the snapshot before."""
    y = f"Fréchet distance, {KINDS[kind]} (log scale)"
    figure, axes = panel("Fréchet distance against training loss", "mean training loss since the snapshot before", y)
    points = results.along["points"]
    losses, distances = [row["loss"] for row in points], [row[kind]["frechet"] for row in points]
    axes.plot(losses, distances, linewidth=0.9, **STYLES["synthetic"].options())
    axes.margins(x=0.08, y=0.08)
    log_scale(axes)
    low, high = (math.log(limit) for limit in axes.get_ylim())
    shown = points[:: -((len(points) - 1) // MOST_NAMED + 1)]
    names = sorted((row[kind]["frechet"], row["loss"], count(row["step"])) for row in shown)
    heights = spread([(math.log(far) - low) / (high - low) if far else 0.0 for far, _, _ in names])
    for (far, loss, name), height in zip(names, heights, strict=True):
        lead = {"arrowstyle": "-", "color": "#8b949e", "linewidth": 0.6}
        place = (1.04, height)
        axes.annotate(name, (loss, far), place, textcoords="axes fraction", va="center", fontsize=9, arrowprops=lead)
    axes.text(1.04, 1.04, "step", transform=axes.transAxes, fontsize=9, fontweight="bold")
    return figure


def spread(heights: Sequence[float]) -> list[float]:
    """Move rising heights (shares of an axis) apart, so that names there do not cover each other, and within 0 to 1."""
    gap, ends = min(GAP, 1 / max(1, len(heights) - 1)), [-math.inf]
    for height in heights:
        ends.append(max(height, ends[-1] + gap))
    below = [1 + gap]
    for height in reversed(ends[1:]):
        below.append(min(height, below[-1] - gap))
    return below[:0:-1]


def sentences(results: Explorations) -> str:
    """Say how loss and distance go together along the training, and how little so few points say."""
    points = results.along["points"]
    late = points[len(points) // 2 :]
    validated = sum(row["validation_loss"] is not None for row in points)
    found = {
        f"all {len(points)} snapshots": _correlations(results, points, "loss"),
        f"the last {len(late)}": _correlations(results, late, "loss"),
        f"the validation loss, known at {validated}, in place of the training loss": _correlations(
            results, points, "validation_loss"
        ),
    }
    numbers = "; ".join(f"with {what}, {words}" for what, words in found.items())
    few = f" Of {len(late)} unrelated points one order in {count(math.factorial(len(late)))} gives 1." if late else ""
    return (
        f"Spearman's correlation of loss and distance (1: the same order): {numbers}. {len(points)} points say little. "
        "They are of one training, so that none is independent of the one before, and two numbers that both fall as it "
        "goes on are correlated whether or not one tells anything about the other; the last ones, where they "
        f"fall least, are nearer to the question.{few}"
    )


def _correlations(results: Explorations, points: list[Json], loss: str) -> str:
    """Give the correlation on each kind of features."""
    losses = [row[loss] for row in points]
    by_kind = {kind: rank_correlation(losses, [row[kind]["frechet"] for row in points]) for kind in results.kinds}
    if None in by_kind.values():
        return "there is none (too few points, or all alike)"
    return listing(f"{decimal(value, 2)} on {KINDS[kind]}" for kind, value in by_kind.items())
