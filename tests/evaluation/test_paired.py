"""Differences between classifiers, paired by patient."""

import numpy as np
import pytest

from echosynth.common.views import VIEWS
from echosynth.evaluation.paired import paired_differences
from echosynth.evaluation.scores import evaluate, macro_auprc, resample


def classifiers(better: float, count: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of two classifiers whose noise is alike, true views, and patients of three images."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 4
    noise = rng.normal(size=(count, 4))
    found = []
    for strength in (2 + better, 2):
        logits = noise + 0.1 * rng.normal(size=(count, 4)) + strength * np.eye(4)[labels]
        found.append(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    return found[0], found[1], labels, np.arange(count) // 3


def test_a_classifier_is_no_better_than_itself() -> None:
    _, second, labels, groups = classifiers(0)
    found = paired_differences(second, second, labels, groups, 0.05, 200, 0)
    assert set(found) == {"macro_auprc", "macro_f1", *(f"recall_{view}" for view in VIEWS)}
    assert all((one.value, one.interval, one.lower) == (0, [0, 0], 0) for one in found.values())


def test_the_difference_is_paired_by_patient() -> None:
    first, second, labels, groups = classifiers(0.5)
    found = paired_differences(first, second, labels, groups, 0.05, 500, 1)["macro_auprc"]
    weights = resample(groups, 500, 1)
    drawn = macro_auprc(first, labels, weights) - macro_auprc(second, labels, weights)
    assert found.value == pytest.approx(
        evaluate(first, labels, groups, groups)["macro_auprc"] - evaluate(second, labels, groups, groups)["macro_auprc"]
    )
    assert found.interval == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert found.lower == pytest.approx(np.quantile(drawn, 0.05))
    assert found.interval[0] is not None and found.interval[0] < found.lower < found.value


def test_absent_views_have_no_difference() -> None:
    first, second, labels, groups = classifiers(0.5)
    keep = labels != 3
    found = paired_differences(first[keep], second[keep], labels[keep], groups[keep], 0.05, 100, 0)
    assert "recall_PSAX" not in found and "recall_A2C" in found
