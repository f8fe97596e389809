"""Pictures that go with a run."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from echosynth.measure.scores import average_precision
from echosynth.views import VIEWS

# Okabe and Ito's set for colour-blind readers, and lines that differ without colour.
STYLES = (("#000000", "-"), ("#0072B2", "--"), ("#D55E00", "-."), ("#009E73", ":"))


def confusion_figure(scores: dict[str, Any], title: str) -> Figure:
    """Confusion matrix with counts, coloured by the share of each true view.

    Args:
        scores: what `echosynth.measure.scores.evaluate` returns.
        title: above it.
    """
    counts, shares = np.array(scores["confusion"]), np.array(scores["confusion_normalised"])
    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] < 0.5
        axes.text(
            column,
            row,
            f"{count}\n{shares[row, column]:.2f}",
            ha="center",
            va="center",
            color="white" if dark else "black",
        )
    axes.set(xticks=range(len(VIEWS)), yticks=range(len(VIEWS)), xticklabels=VIEWS, yticklabels=VIEWS)
    axes.set(xlabel="predicted view", ylabel="true view", title=title)
    axes.title.set_fontsize(9)
    figure.colorbar(image, label="share of the true view")
    return figure


def precision_recall(
    truth: npt.NDArray[np.bool_], score: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Precision and recall at every threshold that a score takes, the strictest first; equal scores are one threshold.

    Args:
        truth: (N,) whether the image shows the view, at least once.
        score: (N,) the larger the likelier.

    Returns:
        Two arrays (T + 1,) in [0, 1]; the first point, precision 1 at recall 0, is the end of the curve by convention.
    """
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    hits, seen = np.cumsum(truth[order])[last_of_tie], np.arange(1, len(truth) + 1)[last_of_tie]
    return np.append(1.0, hits / seen), np.append(0.0, hits / truth.sum())


def precision_recall_figure(probabilities: npt.NDArray[Any], labels: npt.NDArray[np.int64], title: str) -> Figure:
    """One precision-recall curve for each view that is present, with its average precision.

    Args:
        probabilities: (N, 4), in the order of `VIEWS`.
        labels: (N,) index of the true view.
        title: above it.
    """
    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    for index, (view, (colour, line)) in enumerate(zip(VIEWS, STYLES, strict=True)):
        truth, score = labels == index, probabilities[:, index]
        if truth.any():
            precision, recall = precision_recall(truth, score)
            average = average_precision(truth, score, np.ones((1, len(truth))))[0]
            # Steps to the left: between two thresholds the precision of the next one holds, as in the average.
            axes.step(recall, precision, where="pre", color=colour, linestyle=line, label=f"{view}, AP {average:.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05), title=title)
    axes.title.set_fontsize(9)
    axes.legend(loc="lower left", fontsize=9)
    return figure
