"""Whether synthetic images are copies of the real images that their model was trained on.

A modest audit: it finds pictures that lie unusually near to a training image on the given features. It proves no
privacy, and says nothing about what an attacker with more knowledge could tell.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.common.views import VIEWS
from echosynth.evaluation.fidelity import Ints
from echosynth.evaluation.frechet import Features

Floats = npt.NDArray[np.float64]
ROWS_AT_A_TIME = 512
COLUMNS = ("threshold", "near_copies", "held_out_near_copies", "copying_z")  # of an audit, in a table of runs


def nearest(features: Features, training: Features) -> Floats:
    """Euclidean distance of each vector to its nearest training vector, (N,) for (N, D) and (M, D)."""
    lengths = (training**2).sum(1)
    found = []
    for first in range(0, len(features), ROWS_AT_A_TIME):
        rows = features[first : first + ROWS_AT_A_TIME]
        closest = (lengths - 2 * rows @ training.T).argmin(1)
        # Anew from the difference: the expanded square of a copy's distance is rounding error and not 0.
        found.append(np.linalg.norm(rows - training[closest], axis=1))
    return np.concatenate(found)


def copying_z(synthetic: Floats, held_out: Floats) -> float:
    """Data-copying test of Meehan, Chaudhuri & Dasgupta 2020 over the whole space: the z-score of the Mann-Whitney
    statistic of distances to the training images. Far below 0: synthetic images lie nearer to the training images than
    held-out real ones do, which is copying; far above 0: they lie farther away, which is underfitting.

    Args:
        synthetic: (N,) distances of synthetic images.
        held_out: (M,) distances of real images that were not trained on.
    """
    n, m = len(synthetic), len(held_out)
    ranked = np.sort(held_out)
    below, upto = np.searchsorted(ranked, synthetic, "left"), np.searchsorted(ranked, synthetic, "right")
    wins = float((below + upto).sum()) / 2
    return float((wins - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def false_positives(
    held_out: Floats, groups: npt.NDArray[Any], quantile: float, repeats: int, seed: int
) -> float | None:
    """Share of real images that the audit would call copies: the threshold comes from one half of the patients, and
    the images of the other half are judged, in turn.

    Args:
        held_out: (M,) distances of real images that were not trained on.
        groups: (M,) their patients.
        quantile: see `audit`.
        repeats: divisions into halves.
        seed: of the divisions.

    Returns:
        The mean share; None when there is one patient only.
    """
    patients = np.unique(groups)
    if len(patients) < 2:
        return None
    shares = []
    for repeat in range(repeats):
        chosen = np.random.default_rng((seed, repeat)).permutation(patients)[: len(patients) // 2]
        first = np.isin(groups, chosen)
        for half in (first, ~first):
            shares.append((held_out[~half] <= np.quantile(held_out[half], quantile)).mean())
    return float(np.mean(shares))


def audit(
    synthetic: Features,
    synthetic_labels: Ints,
    held_out: Features,
    held_out_groups: npt.NDArray[Any],
    training: Features,
    quantile: float,
    repeats: int,
    seed: int,
) -> dict[str, Any]:
    """Count synthetic images that are nearer to a training image than nearly all held-out real images are.

    Both sides look for their nearest neighbour among the same training images: with more candidates on one side its
    distances would be smaller for that reason alone. The threshold is a low quantile of the held-out distances, so that
    this share of honest images is expected below it.

    Args:
        synthetic: (N, D) features of the synthetic images.
        synthetic_labels: (N,) their views.
        held_out: (M, D) features of real images of other patients than the training images'.
        held_out_groups: (M,) their patients.
        training: (K, D) features of the images that the generative model was trained on.
        quantile: share of held-out images at or below the threshold, above 0 and below 1.
        repeats: see `false_positives`.
        seed: see `false_positives`.

    Returns:
        synthetic_images, held_out_images, training_images: numbers; quantile: the false-positive rate by construction;
        threshold; near_copies: share of synthetic images at or below it; near_copies_by_view; held_out_near_copies:
        see `false_positives`; copying_z: see there.
    """
    made, real = nearest(synthetic, training), nearest(held_out, training)
    threshold = float(np.quantile(real, quantile))
    near = made <= threshold
    by_view = {
        view: float(near[synthetic_labels == index].mean())
        for index, view in enumerate(VIEWS)
        if (synthetic_labels == index).any()
    }
    return {
        "synthetic_images": len(made),
        "held_out_images": len(real),
        "training_images": len(training),
        "quantile": quantile,
        "threshold": threshold,
        "near_copies": float(near.mean()),
        "near_copies_by_view": by_view,
        "held_out_near_copies": false_positives(real, held_out_groups, quantile, repeats, seed),
        "copying_z": copying_z(made, real),
    }
