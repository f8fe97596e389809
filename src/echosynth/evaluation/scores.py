"""Scores of a view classifier, with intervals by bootstrap over patients.

One rule says what is no score. Recall needs an image of the view; average precision needs one of the view and one of
another, since without these it is 1 whatever a classifier says; macro AUPRC and macro F1 are means over the views that
a set shows, and need two of them. What a set, or a draw of its patients, cannot give is NaN in arrays and None in what
is stored, and `absent` says why.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.common.views import VIEWS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MACRO = ("macro_auprc", "macro_f1")  # means over the views that a set shows


def average_precision(truth: npt.NDArray[np.bool_], score: npt.NDArray[Any], weights: Floats) -> Floats:
    """Average precision AP = sum over thresholds of (R_n - R_{n-1}) P_n, for many weightings of the same images at
    once.

    Args:
        truth: (N,) whether the image shows the class.
        score: (N,) the larger the likelier.
        weights: (R, N) non-negative weights; a row of ones is the plain score, bootstrap counts are a resample.

    Returns:
        (R,) in [0, 1]; NaN where no image of the class, or none of another class, has weight.
    """
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    hits = np.cumsum(weights[:, order] * truth[order], axis=1)[:, last_of_tie]
    seen = np.cumsum(weights[:, order], axis=1)[:, last_of_tie]
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    total = hits[:, -1:]
    with np.errstate(invalid="ignore"):
        recall = np.where((total > 0) & (seen[:, -1:] > total), hits / total, np.nan)
    result: Floats = (np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1)
    return result


def macro_auprc(probabilities: npt.NDArray[Any], labels: Ints, weights: Floats) -> Floats:
    """Mean over the views that are present of their average precision, (R,) for weights (R, N); NaN where fewer than
    two have weight."""
    return _mean_known(
        np.array([average_precision(labels == i, probabilities[:, i], weights) for i in np.unique(labels)]), axis=0
    )


def confusion(labels: Ints, predicted: Ints, weights: Floats) -> Floats:
    """Confusion matrices (R, 4, 4): rows are true views, columns predicted ones."""
    count = len(VIEWS)
    cells = np.eye(count * count)[labels * count + predicted]
    return (weights @ cells).reshape(len(weights), count, count)


def macro_f1(matrices: Floats) -> Floats:
    """Macro F1 (R,) of confusion matrices (R, 4, 4); views neither present nor predicted are left out, as in the
    study. NaN where fewer than two views are present."""
    true, present, called = np.einsum("rii->ri", matrices), matrices.sum(2), matrices.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_view = 2 * true / (present + called)
    several = (present > 0).sum(axis=1) > 1
    result: Floats = np.where(several, _mean_known(by_view, axis=1), np.nan)
    return result


def recalls(matrices: Floats) -> Floats:
    """Recall of each view (R, 4) of confusion matrices (R, 4, 4); NaN where the view is absent."""
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.einsum("rii->ri", matrices) / matrices.sum(2)
    return result


def false_positives(matrices: Floats) -> Floats:
    """False positive rate of each view (R, 4) of confusion matrices (R, 4, 4): which share of the images of other
    views is called so; NaN where there is none of another view."""
    others, calls = matrices.sum((1, 2))[:, None] - matrices.sum(2), matrices.sum(1) - np.einsum("rii->ri", matrices)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = calls / others
    return result


def resample(groups: npt.NDArray[Any], draws: int, seed: int) -> Floats:
    """Bootstrap over groups: (draws, N) counts of each image when whole patients are drawn with replacement."""
    names, member = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    result: Floats = counts[:, member].astype(np.float64)
    return result


def interval(values: Floats) -> list[float | None]:
    """95 % percentile interval, draws where the value is undefined left out."""
    values = values[~np.isnan(values)]
    return [float(v) for v in np.percentile(values, [2.5, 97.5])] if len(values) else [None, None]


def known(value: float) -> float | None:
    """A score as it is stored: None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)


def _mean_known(values: Floats, axis: int) -> Floats:
    """Mean over an axis without NaN; NaN where nothing else is."""
    there = ~np.isnan(values)
    counts = there.sum(axis)
    total = np.where(there, values, 0).sum(axis)
    return np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)


def by_view(values: Floats) -> dict[str, float | None]:
    """Scores (4,) by the name of the view, as they are stored."""
    return {view: known(value) for view, value in zip(VIEWS, values, strict=True)}


def absent(scores: Mapping[str, Any]) -> dict[str, str]:
    """Say why a set of images cannot give a score.

    Args:
        scores: what `evaluate` returned.

    Returns:
        Names as `headline` would have them, without prefix ("macro_auprc", "recall_PSAX"), and "auprc_PSAX" -> what
        the set lacks, such as "no image of PSAX" or "images of A4C alone"; empty where every score is there.
    """
    shown = [view for view in VIEWS if scores["recall"][view] is not None]
    lacking = [view for view in VIEWS if view not in shown]
    found = {f"{name}_{view}": f"no image of {view}" for view in lacking for name in ("recall", "auprc")}
    if len(shown) == 1:
        found |= dict.fromkeys((*MACRO, f"auprc_{shown[0]}"), f"images of {shown[0]} alone")
    return found


def evaluate(
    probabilities: npt.NDArray[Any],
    labels: Ints,
    groups: npt.NDArray[Any],
    sources: npt.NDArray[Any],
    draws: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """All scores of one classifier on one set of real images.

    Args:
        probabilities: (N, 4), in the order of `VIEWS`.
        labels: (N,) index of the true view.
        groups: (N,) patient (or the smallest known unit), for the bootstrap.
        sources: (N,) release; view and source are confounded, so scores are given for each source too.
        draws: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap; equal seeds draw equal patients, so that classifiers can be compared in pairs.

    Returns:
        count, loss (cross-entropy), accuracy, macro_auprc, macro_f1, auprc and recall by view, confusion (counts) and
        confusion_normalised (rows sum to 1), by_source, and interval (95 %) with draws. None for each score that the
        images cannot give, see `absent`; where macro_auprc and macro_f1 are None, `absent` holds the reason.
    """
    ones = np.ones((1, len(labels)))
    predicted = probabilities.argmax(1).astype(np.int64)
    matrix = confusion(labels, predicted, ones)
    present = matrix[0].sum(1)
    auprc = [average_precision(labels == i, probabilities[:, i], ones)[0] for i in range(len(VIEWS))]
    true_class = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    result: dict[str, Any] = {
        "count": len(labels),
        "loss": float(-np.log(np.maximum(true_class, 1e-12)).mean()),
        "accuracy": float((predicted == labels).mean()),
        "macro_auprc": known(macro_auprc(probabilities, labels, ones)[0]),
        "macro_f1": known(macro_f1(matrix)[0]),
        "auprc": by_view(np.array(auprc)),
        "recall": by_view(recalls(matrix)[0]),
        "confusion": matrix[0].astype(int).tolist(),
        "confusion_normalised": (matrix[0] / np.maximum(present, 1)[:, None]).round(6).tolist(),
        "by_source": {},
    }
    for source in np.unique(sources):
        mine = sources == source
        own = confusion(labels[mine], predicted[mine], ones[:, mine])
        result["by_source"][str(source)] = {
            "count": int(mine.sum()),
            "accuracy": float((predicted[mine] == labels[mine]).mean()),
            "macro_auprc": known(macro_auprc(probabilities[mine], labels[mine], ones[:, mine])[0]),
            "macro_f1": known(macro_f1(own)[0]),
            "recall": by_view(recalls(own)[0]),
        }
    if result["macro_auprc"] is None:
        reasons = absent(result)
        result["absent"] = {name: reasons[name] for name in MACRO}
    if draws:
        weights = resample(groups, draws, seed)
        matrices = confusion(labels, predicted, weights)
        result["interval"] = {
            "macro_auprc": interval(macro_auprc(probabilities, labels, weights)),
            "macro_f1": interval(macro_f1(matrices)),
            "recall": {view: interval(column) for view, column in zip(VIEWS, recalls(matrices).T, strict=True)},
        }
    return result


def headline(scores: dict[str, Any], prefix: str) -> dict[str, float]:
    """The scores that make columns of a table of runs, such as "test.macro_auprc" and "test.recall_A2C"; those that the
    images cannot give are left out (see `absent`), and so is the calibration error where it was not computed."""
    flat = {name: scores.get(name) for name in ("macro_auprc", "macro_f1", "loss", "accuracy")}
    flat |= {f"recall_{view}": value for view, value in scores["recall"].items()}
    flat["calibration_error"] = scores.get("calibration_error")
    return {f"{prefix}.{name}": value for name, value in flat.items() if value is not None}
