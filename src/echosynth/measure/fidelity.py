"""How close a synthetic set is to held-out real images, beside the floor that real images themselves reach at the same
size."""

from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.measure.frechet import Features, frechet_distance, kernel_distance

Ints = npt.NDArray[np.int64]


def matched_draw(labels: Ints, wanted: Ints, rng: np.random.Generator) -> Ints:
    """Indices into `labels` drawn at random so that each label comes as often as in `wanted`.

    Without replacement while there are enough of a label, else all of them and the rest again.
    """
    picks = []
    for label, count in zip(*np.unique(wanted, return_counts=True), strict=True):
        members = rng.permutation(np.flatnonzero(labels == label))
        picks.append(np.resize(members, count))
    return np.concatenate(picks)


def fidelity(
    synthetic: Features,
    synthetic_labels: Ints,
    validation: Features,
    validation_labels: Ints,
    other_real: Features,
    other_labels: Ints,
    count: int,
    repeats: int,
    seed: int,
) -> dict[str, Any]:
    """Distances of a synthetic set from the validation images, and of other real images from them.

    Both are drawn with the validation set's own mixture of views: a balanced set would be far from an imbalanced one
    even if each of its images were perfect. Small sets bias the Frechet distance upwards, so both use the same n; the
    kernel distance is unbiased.

    Args:
        synthetic: (N, D) features of the synthetic set.
        synthetic_labels: (N,) views.
        validation: (M, D) features of the validation images.
        validation_labels: (M,) views.
        other_real: (K, D) features of real images that are neither trained on nor in the validation set.
        other_labels: (K,) views.
        count: images on each side; fewer where validation or other images are fewer.
        repeats: draws, each with another choice.
        seed: of the draws.

    Returns:
        count n, frechet, frechet_sd, kernel, floor_frechet, floor_frechet_sd, floor_kernel: means and standard
        deviations over the draws.
    """
    n = min(count, len(validation), len(other_real))
    rows = []
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        reference = np.sort(rng.permutation(len(validation))[:n])
        wanted = validation_labels[reference]
        real = validation[reference]
        fake = synthetic[matched_draw(synthetic_labels, wanted, rng)]
        floor = other_real[matched_draw(other_labels, wanted, rng)]
        rows.append(
            [
                frechet_distance(fake, real),
                kernel_distance(fake, real),
                frechet_distance(floor, real),
                kernel_distance(floor, real),
            ]
        )
    mean, sd = np.mean(rows, axis=0), np.std(rows, axis=0)
    return {
        "count": n,
        "frechet": float(mean[0]),
        "frechet_sd": float(sd[0]),
        "kernel": float(mean[1]),
        "floor_frechet": float(mean[2]),
        "floor_frechet_sd": float(sd[2]),
        "floor_kernel": float(mean[3]),
    }
