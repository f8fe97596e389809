"""Pictures that go with a run."""

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from echosynth.common.views import VIEWS
from echosynth.evaluation.scores import average_precision

# Okabe and Ito's set for colour-blind readers, and lines that differ without colour.
STYLES = (("#000000", "-"), ("#0072B2", "--"), ("#D55E00", "-."), ("#009E73", ":"))


class Plot:
    """A square figure that may show one result after another.

    Attributes:
        figure: the Matplotlib figure.
    """

    def __init__(self) -> None:
        self.figure = Figure(figsize=(5, 4.4), layout="constrained")
        self.axes = self.figure.subplots()
        self._canvas: Any = FigureCanvasAgg(self.figure)  # Matplotlib has no types for it
        self._frame: Any = None  # all that stays: labels, ticks, colour bar

    def changing(self) -> list[Artist]:
        """What differs from one result to the next, and what lies above it, in the order of drawing."""
        return [self.axes.title]

    def png(self) -> bytes:
        """What is shown, as PNG. The frame is laid out and drawn the first time only, which is most of the work."""
        if self._frame is None:
            self._canvas.draw()
            self.figure.set_layout_engine("none")
            shown = [artist for artist in self.changing() if artist.get_visible()]
            for artist in shown:
                artist.set_visible(False)
            self._canvas.draw()
            self._frame = self._canvas.copy_from_bbox(self.figure.bbox)
            for artist in shown:
                artist.set_visible(True)
            self.axes.title.set_y(1.0)  # Matplotlib moves a hidden one
        self._canvas.restore_region(self._frame)
        for artist in self.changing():
            self.axes.draw_artist(artist)
        coded = BytesIO()
        imsave(coded, self._canvas.buffer_rgba(), format="png")
        return coded.getvalue()


class ConfusionPlot(Plot):
    """Confusion matrix with counts, coloured by the share of each true view."""

    def __init__(self) -> None:
        super().__init__()
        ticks = range(len(VIEWS))
        self._image = self.axes.imshow(np.zeros((len(VIEWS), len(VIEWS))), cmap="cividis", vmin=0, vmax=1)
        self._cells = [[self.axes.text(column, row, "", ha="center", va="center") for column in ticks] for row in ticks]
        self.axes.set(xticks=ticks, yticks=ticks, xticklabels=VIEWS, yticklabels=VIEWS)
        self.axes.set(xlabel="predicted view", ylabel="true view")
        self.figure.colorbar(self._image, label="share of the true view")

    def changing(self) -> list[Artist]:
        texts = [text for row in self._cells for text in row]
        return [self._image, *texts, *self.axes.spines.values(), *super().changing()]

    def show(self, scores: dict[str, Any], title: str) -> None:
        """Show the matrix of an evaluation.

        Args:
            scores: what `echosynth.evaluation.scores.evaluate` returns.
            title: above it.
        """
        shares = np.array(scores["confusion_normalised"])
        self._image.set_data(shares)
        for (row, column), count in np.ndenumerate(np.array(scores["confusion"])):
            share = shares[row, column]
            self._cells[row][column].set(text=f"{count}\n{share:.2f}", color="white" if share < 0.5 else "black")
        self.axes.set_title(title, fontsize=9)


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


class PrecisionRecallPlot(Plot):
    """One precision-recall curve with its average precision for each view that is present beside another one: of one
    view alone every classifier has the same."""

    def __init__(self) -> None:
        super().__init__()
        self.axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))

    def changing(self) -> list[Artist]:
        legend = self.axes.get_legend()
        return [*self.axes.lines, *self.axes.spines.values(), *([legend] if legend else []), *super().changing()]

    def show(self, probabilities: npt.NDArray[Any], labels: npt.NDArray[np.int64], title: str) -> None:
        """Show the curves of predictions.

        Args:
            probabilities: (N, 4), in the order of `VIEWS`.
            labels: (N,) index of the true view.
            title: above them.
        """
        for line in list(self.axes.lines):
            line.remove()
        for index, (view, (colour, line_style)) in enumerate(zip(VIEWS, STYLES, strict=True)):
            truth, score = labels == index, probabilities[:, index]
            if truth.any() and not truth.all():
                precision, recall = precision_recall(truth, score)
                average = average_precision(truth, score, np.ones((1, len(truth))))[0]
                label = f"{view}, AP {average:.3f}"
                # Steps to the left: between two thresholds the precision of the next one holds, as in the average.
                self.axes.step(recall, precision, where="pre", color=colour, linestyle=line_style, label=label)
        if self.axes.lines:
            self.axes.legend(loc="lower left", fontsize=9)
        else:
            title = f"{title}\nno curve: images of one view alone"
            if legend := self.axes.get_legend():  # of what was shown before
                legend.remove()
        self.axes.set_title(title, fontsize=9)


# One plot shows one result after another, which takes less than half the time of a new one for each.
_confusion, _curves = cache(ConfusionPlot), cache(PrecisionRecallPlot)


def confusion_png(scores: dict[str, Any], title: str) -> bytes:
    """Confusion matrix of an evaluation as PNG, see `ConfusionPlot.show`."""
    _confusion().show(scores, title)
    return _confusion().png()


def precision_recall_png(probabilities: npt.NDArray[Any], labels: npt.NDArray[np.int64], title: str) -> bytes:
    """Precision-recall curves of predictions as PNG, see `PrecisionRecallPlot.show`."""
    _curves().show(probabilities, labels, title)
    return _curves().png()
