"""The calibration error against cases that can be counted by hand."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from echosynth.evaluation.calibration import calibration_error, evaluate_calibrated
from echosynth.evaluation.scores import evaluate, headline


def called(sure: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that call view 0 with these certainties, and true views that make some of the calls right."""
    probabilities = np.full((len(sure), 4), 0.0)
    probabilities[:, 0] = sure
    probabilities[:, 1:] = ((1 - sure) / 3)[:, None]
    return probabilities, np.where(right, 0, 1)


def test_the_gap_is_that_between_certainty_and_accuracy() -> None:
    sure = np.array([0.9] * 10)
    assert calibration_error(*called(sure, np.arange(10) < 9), 1) == pytest.approx(0.0)
    assert calibration_error(*called(sure, np.arange(10) < 4), 1) == pytest.approx(0.5)


def test_gaps_of_bins_do_not_cancel() -> None:
    sure = np.array([0.6] * 10 + [0.9] * 10)
    right = np.array([True] * 9 + [False] + [True] * 6 + [False] * 4)  # 0.3 too little, 0.3 too much
    assert calibration_error(*called(sure, right), 2) == pytest.approx(0.3)
    assert calibration_error(*called(sure, right), 1) == pytest.approx(0.0)


def test_equal_mass_bins_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    sure = rng.permutation(np.linspace(0.4, 1, 400))
    right = rng.random(400) < sure**2
    accuracy, certainty = calibration_curve(right, sure, n_bins=8, strategy="quantile")
    assert calibration_error(*called(sure, right), 8) == pytest.approx(np.abs(accuracy - certainty).mean(), abs=1e-3)


def test_an_honest_classifier_is_near_zero_and_few_images_are_enough() -> None:
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.4, 1, 20000)
    assert calibration_error(*called(sure, rng.random(20000) < sure), 10) < 0.02
    assert calibration_error(*called(np.array([0.8]), np.array([True])), 10) == pytest.approx(0.2)


def test_it_stands_beside_the_other_scores_and_in_the_headline() -> None:
    probabilities, labels = called(np.linspace(0.5, 0.95, 12), np.arange(12) % 3 > 0)
    groups = np.arange(12) // 2
    scores = evaluate_calibrated(probabilities, labels, groups, groups, 3, 20, 1)
    plain = evaluate(probabilities, labels, groups, groups, 20, 1)
    assert scores == plain | {"calibration_error": calibration_error(probabilities, labels, 3)}
    assert headline(scores, "test") == headline(plain, "test") | {"test.calibration_error": scores["calibration_error"]}
