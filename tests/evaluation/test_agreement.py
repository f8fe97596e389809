"""View agreement against counts by hand."""

import numpy as np
import pytest

from echosynth.evaluation.agreement import view_agreement


def judge(*seen: int) -> np.ndarray:
    """Probabilities of a judge who sees these views."""
    return np.eye(4)[list(seen)] * 0.4 + 0.15


def test_views_count_alike_and_judges_are_averaged() -> None:
    labels = np.array([0, 0, 0, 0, 1, 2])
    found = view_agreement([judge(0, 0, 0, 3, 1, 2), judge(0, 0, 3, 3, 1, 0)], labels)
    assert found["by_view"] == {"A2C": pytest.approx(0.625), "A4C": 1.0, "PLAX": 0.5, "PSAX": None}
    macros = [(0.75 + 1 + 1) / 3, (0.5 + 1 + 0) / 3]
    assert found["macro"] == pytest.approx(np.mean(macros))
    assert found["macro_sd"] == pytest.approx(np.std(macros))
    assert found["images"] == 6


def test_exchanged_views_are_seen() -> None:
    seen = judge(*[0, 1, 2, 3] * 5)
    assert view_agreement([seen], np.array([0, 1, 2, 3] * 5))["macro"] == 1
    assert view_agreement([seen], np.array([1, 0, 2, 3] * 5))["macro"] == 0.5
