"""Scores of a view classifier, with intervals by bootstrap over patients."""

from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.common.views import VIEWS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def average_precision(truth: npt.NDArray[np.bool_], score: npt.NDArray[Any], weights: Floats) -> Floats:
    """Average precision AP = sum over thresholds of (R_n - R_{n-1}) P_n, for many weightings of the same images at
    once.

    Args:
        truth: (N,) whether the image shows the class.
        score: (N,) the larger the likelier.
        weights: (R, N) non-negative weights; a row of ones is the plain score, bootstrap counts are a resample.

    Returns:
        (R,) in [0, 1]; NaN where no image of the class has weight.
    """
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    hits = np.cumsum(weights[:, order] * truth[order], axis=1)[:, last_of_tie]
    seen = np.cumsum(weights[:, order], axis=1)[:, last_of_tie]
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    total = hits[:, -1:]
    with np.errstate(invalid="ignore"):
        recall = np.where(total > 0, hits / total, np.nan)
    result: Floats = (np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1)
    return result


def macro_auprc(probabilities: npt.NDArray[Any], labels: Ints, weights: Floats) -> Floats:
    """Mean over the views that are present of their average precision, (R,) for weights (R, N)."""
    by_view = [average_precision(labels == i, probabilities[:, i], weights) for i in np.unique(labels)]
    result: Floats = np.nanmean(by_view, axis=0)
    return result


def confusion(labels: Ints, predicted: Ints, weights: Floats) -> Floats:
    """Confusion matrices (R, 4, 4): rows are true views, columns predicted ones."""
    count = len(VIEWS)
    cells = np.eye(count * count)[labels * count + predicted]
    return (weights @ cells).reshape(len(weights), count, count)


def macro_f1(matrices: Floats) -> Floats:
    """Macro F1 (R,) of confusion matrices (R, 4, 4); views neither present nor predicted are left out, as in the
    study."""
    true, present, called = np.einsum("rii->ri", matrices), matrices.sum(2), matrices.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.nanmean(2 * true / (present + called), axis=1)
    return result


def recalls(matrices: Floats) -> Floats:
    """Recall of each view (R, 4) of confusion matrices (R, 4, 4); NaN where the view is absent."""
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.einsum("rii->ri", matrices) / matrices.sum(2)
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


def _by_view(values: Floats) -> dict[str, float | None]:
    return {view: None if np.isnan(value) else float(value) for view, value in zip(VIEWS, values, strict=True)}


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
        count, loss (cross-entropy), accuracy, macro_auprc, macro_f1, auprc and recall by view (None where absent),
        confusion (counts) and confusion_normalised (rows sum to 1), by_source, and interval (95 %) with draws.
    """
    ones = np.ones((1, len(labels)))
    predicted = probabilities.argmax(1).astype(np.int64)
    matrix = confusion(labels, predicted, ones)
    present = matrix[0].sum(1)
    auprc = [
        average_precision(labels == i, probabilities[:, i], ones)[0] if present[i] else np.nan
        for i in range(len(VIEWS))
    ]
    true_class = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    result: dict[str, Any] = {
        "count": len(labels),
        "loss": float(-np.log(np.maximum(true_class, 1e-12)).mean()),
        "accuracy": float((predicted == labels).mean()),
        "macro_auprc": float(macro_auprc(probabilities, labels, ones)[0]),
        "macro_f1": float(macro_f1(matrix)[0]),
        "auprc": _by_view(np.array(auprc)),
        "recall": _by_view(recalls(matrix)[0]),
        "confusion": matrix[0].astype(int).tolist(),
        "confusion_normalised": (matrix[0] / np.maximum(present, 1)[:, None]).round(6).tolist(),
        "by_source": {},
    }
    for source in np.unique(sources):
        mine = sources == source
        several = len(np.unique(labels[mine])) > 1  # one view alone always has an average precision of 1
        own = confusion(labels[mine], predicted[mine], ones[:, mine])
        result["by_source"][str(source)] = {
            "count": int(mine.sum()),
            "accuracy": float((predicted[mine] == labels[mine]).mean()),
            "macro_auprc": float(macro_auprc(probabilities[mine], labels[mine], ones[:, mine])[0]) if several else None,
            "macro_f1": float(macro_f1(own)[0]) if several else None,
            "recall": _by_view(recalls(own)[0]),
        }
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
    """The scores that make columns of a table of runs, such as "test.macro_auprc" and "test.recall_A2C"; absent views
    are left out, and so is the calibration error where it was not computed."""
    flat: dict[str, float] = {
        f"{prefix}.{name}": scores[name] for name in ("macro_auprc", "macro_f1", "loss", "accuracy")
    }
    flat |= {f"{prefix}.recall_{view}": value for view, value in scores["recall"].items() if value is not None}
    if "calibration_error" in scores:
        flat[f"{prefix}.calibration_error"] = scores["calibration_error"]
    return flat
