import io
import os
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from echosynth.common.views import VIEWS
from echosynth.evaluation.plots import (
    ConfusionPlot,
    PrecisionRecallPlot,
    confusion_png,
    precision_recall,
    precision_recall_png,
)
from echosynth.evaluation.scores import evaluate


@pytest.mark.parametrize("levels", [3, 1000])  # many equal scores, and hardly any
def test_precision_and_recall_are_those_of_scikit_learn(levels: int) -> None:
    rng = np.random.default_rng(levels)
    truth, score = rng.random(200) < 0.3, rng.integers(0, levels, 200) / levels
    precision, recall = precision_recall(truth, score)
    expected_precision, expected_recall, _ = precision_recall_curve(truth, score)
    assert np.allclose(precision, expected_precision[::-1])
    assert np.allclose(recall, expected_recall[::-1])


def test_a_curve_for_each_view_that_is_present_with_its_average_precision() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)  # the fourth view is absent
    probabilities = rng.dirichlet(np.ones(4), 60)
    plot = PrecisionRecallPlot()
    plot.show(probabilities, labels, "title")
    axes = plot.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("recall", "precision", "title")
    average = [average_precision_score(labels == index, probabilities[:, index]) for index in range(3)]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [f"{view}, AP {value:.3f}" for view, value in zip(VIEWS, average, strict=False)]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}) == 3


def test_of_one_view_alone_there_is_no_curve_and_the_title_says_so() -> None:
    plot, random = PrecisionRecallPlot(), np.random.default_rng(0).dirichlet(np.ones(4), 9)
    plot.show(random, np.arange(9) % 2, "test")
    plot.show(random, np.ones(9, int), "shift")
    assert list(plot.axes.lines) == [] and plot.axes.get_legend() is None
    assert plot.axes.get_title() == "shift\nno curve: images of one view alone"


def evaluation(count: int) -> dict:
    """Scores of random predictions of `count` images."""
    rng = np.random.default_rng(count)
    labels = np.arange(count) % len(VIEWS)
    return evaluate(rng.dirichlet(np.ones(len(VIEWS)), count), labels, labels, np.full(count, "source"))


def pixels(coded: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_UNCHANGED)


def alone(plot: ConfusionPlot | PrecisionRecallPlot, *shown: Any) -> np.ndarray:
    """Pixels of a plot that shows one thing only, as Matplotlib saves it."""
    coded = io.BytesIO()
    plot.show(*shown)
    plot.figure.savefig(coded, format="png")
    return pixels(coded.getvalue())


def test_a_plot_shows_one_result_after_another_as_figures_of_their_own_would() -> None:
    rng = np.random.default_rng(0)
    for count, title in ((40, "few"), (600, "Validation: resnet18, mixed, all real images, seed 1"), (41, "few again")):
        scores = evaluation(count)
        assert np.array_equal(pixels(confusion_png(scores, title)), alone(ConfusionPlot(), scores, title))
        predictions = rng.dirichlet(np.ones(4), count), rng.integers(0, 4 if count > 40 else 3, count)
        expected = alone(PrecisionRecallPlot(), *predictions, title)
        assert np.array_equal(pixels(precision_recall_png(*predictions, title)), expected)


@pytest.mark.parametrize(("given", "kept"), [("module://not_here.inline", False), ("svg", True)])
def test_the_back_end_of_a_notebook_that_is_not_installed_here_is_passed_over(given: str, kept: bool) -> None:
    """As in `!dvc repro` of a notebook."""
    ask = "import os; from echosynth.evaluation import plots; print(os.environ.get('MPLBACKEND'))"
    environment = os.environ | {"MPLBACKEND": given}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (f"{given}\n" if kept else "None\n")
