"""By how much one classifier is better than another on the same images of the same patients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.common.views import VIEWS
from echosynth.evaluation.scores import Floats, Ints, confusion, interval, macro_auprc, macro_f1, recalls, resample


@dataclass(frozen=True)
class Difference:
    """How much one classifier is better than another on the same images.

    Attributes:
        value: its score less the other's.
        interval: 95 % percentile interval over patients; None twice where no draw has a value.
        lower: one-sided lower bound at the level that was asked for; NaN where no draw has a value.
    """

    value: float
    interval: list[float | None]
    lower: float


def _scores(probabilities: npt.NDArray[Any], labels: Ints, weights: Floats) -> dict[str, Floats]:
    """Scores by name, each (R,) for weights (R, N)."""
    matrices = confusion(labels, probabilities.argmax(1).astype(np.int64), weights)
    by_view = {f"recall_{view}": column for view, column in zip(VIEWS, recalls(matrices).T, strict=True)}
    with np.errstate(invalid="ignore"):
        auprc = macro_auprc(probabilities, labels, weights)
    return {"macro_auprc": auprc, "macro_f1": macro_f1(matrices), **by_view}


def paired_differences(
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    labels: Ints,
    groups: npt.NDArray[Any],
    alpha: float,
    draws: int,
    seed: int,
) -> dict[str, Difference]:
    """By how much the first classifier is better, with a paired bootstrap over patients.

    Each draw scores both classifiers on the same patients, so that what is hard about a patient cancels (Efron &
    Tibshirani 1993, chapters 8 and 13; whole patients are drawn because images of one patient are alike).

    Args:
        first: (N, 4) probabilities.
        second: (N, 4) probabilities for the same images.
        labels: (N,) true views.
        groups: (N,) patients.
        alpha: level of the one-sided lower bound.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        macro_auprc, macro_f1 and recall_<view>; scores that the images cannot give are left out, see
        `echosynth.evaluation.scores.absent`.
    """
    ones, weights = np.ones((1, len(labels))), resample(groups, draws, seed)
    point = [_scores(one, labels, ones) for one in (first, second)]
    drawn = [_scores(one, labels, weights) for one in (first, second)]
    found = {}
    for name in point[0]:
        value = float(point[0][name][0] - point[1][name][0])
        if np.isnan(value):
            continue
        differences = drawn[0][name] - drawn[1][name]
        known = differences[~np.isnan(differences)]
        lower = float(np.quantile(known, alpha)) if len(known) else float("nan")
        found[name] = Difference(value, interval(differences), lower)
    return found
