"""Whether a classifier is right as often as it says."""

from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.evaluation.scores import Ints, evaluate


def calibration_error(probabilities: npt.NDArray[Any], labels: Ints, bins: int) -> float:
    """Expected calibration error: the mean gap between how sure the classifier is and how often it is right.

    Images are put into bins by the probability of the view that is called, and the gap |accuracy - mean probability|
    of each bin counts by its images (Naeini et al. 2015; Guo et al. 2017, eq. 3). The bins hold equally many images
    (Nguyen & O'Connor 2015; Nixon et al. 2019): with bins of equal width nearly all images of a good classifier would
    be in the last one. Few images a bin bias the error upwards, so that a small test set errs on the strict side.

    Args:
        probabilities: (N, 4), N of 1 or more.
        labels: (N,) index of the true view.
        bins: number of bins, fewer where there are fewer images.

    Returns:
        The error in [0, 1]; 0 is perfect.
    """
    sure = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    order = np.argsort(sure, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return float(sum(abs(right[part].sum() - sure[part].sum()) for part in parts) / len(order))


def evaluate_calibrated(
    probabilities: npt.NDArray[Any],
    labels: Ints,
    groups: npt.NDArray[Any],
    sources: npt.NDArray[Any],
    bins: int,
    draws: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """What `echosynth.evaluation.scores.evaluate` returns, with the calibration error as calibration_error.

    Args:
        probabilities: see `evaluate`.
        labels: see `evaluate`.
        groups: see `evaluate`.
        sources: see `evaluate`.
        bins: see `calibration_error`.
        draws: see `evaluate`.
        seed: see `evaluate`.
    """
    scores = evaluate(probabilities, labels, groups, sources, draws, seed)
    return scores | {"calibration_error": calibration_error(probabilities, labels, bins)}
