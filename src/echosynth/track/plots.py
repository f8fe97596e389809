"""Pictures that go with a run."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from echosynth.views import VIEWS


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
