"""How close a synthetic set is to held-out real images, beside the floor that real images themselves reach at the same
size."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.evaluation.frechet import Features, frechet_distance, kernel_distance

Ints = npt.NDArray[np.int64]


def matched_counts(sets: Sequence[Ints], count: int) -> dict[int, int]:
    """How many images of each view can be drawn from every set, in the mixture of the first one.

    Args:
        sets: labels of each set; the first is the reference.
        count: most images in all.

    Returns:
        View -> number, at most what the poorest set holds of it; scaled down together when that is more than `count`.

    Raises:
        EchosynthError: a set lacks a view of the reference.
    """
    counts = {}
    for label in np.unique(sets[0]):
        counts[int(label)] = min(int((labels == label).sum()) for labels in sets)
        if not counts[int(label)]:
            raise EchosynthError(f"a set of images to be compared has none of view {VIEWS[label]}; make it larger")
    share = min(1.0, count / sum(counts.values()))
    return {label: max(1, int(number * share)) for label, number in counts.items()}


def mixture_counts(reference: Ints, count: int, held: Ints | None = None) -> dict[int, int]:
    """Share images among the views as the reference does, whether it has fewer or more itself.

    Args:
        reference: labels of the reference.
        count: images in all, 2 or more; one of each view if that is more.
        held: labels of what they are drawn from; where it has fewer of a view, all views are scaled down together.

    Returns:
        View -> number, 1 or more and, but for that, less than 1 from its share; together `count` or the largest number
        that `held` allows.

    Raises:
        EchosynthError: `held` lacks a view of the reference, or has one image and the reference one view.
    """
    views, numbers = np.unique(reference, return_counts=True)
    count, most = max(count, len(views)), np.full(len(views), np.iinfo(np.int64).max)
    if held is not None:
        most = np.array([(held == view).sum() for view in views])
        if not most.all():
            lacking = VIEWS[views[most.argmin()]]
            raise EchosynthError(f"a set of images to be compared has none of view {lacking}; make it larger")
        # No number above can do, since each view is rounded and may give up an image for each other one.
        count = min(count, int(((most + len(views)) * len(reference) // numbers).min()))
    while ((counts := _shares(numbers, count)) > most).any():
        count -= 1
    if count < 2:
        raise EchosynthError(
            f"a set of images to be compared has a single one of view {VIEWS[views[0]]}; make it larger"
        )
    return dict(zip(views.tolist(), counts.tolist(), strict=True))


def _shares(weights: Ints, count: int) -> Ints:
    """Share `count` in proportion to weights, 1 at least for each, if there are as many as weights."""
    # Rounded as a running sum, so that the numbers add up.
    ends = (2 * weights.cumsum() * count + weights.sum()) // (2 * weights.sum())
    counts: Ints = np.diff(ends, prepend=0)
    for lacking in np.flatnonzero(counts == 0):
        counts[counts.argmax()] -= 1
        counts[lacking] = 1
    return counts


def matched_draw(labels: Ints, counts: dict[int, int], rng: np.random.Generator) -> Ints:
    """Indices into `labels`: so many of each view, drawn without replacement."""
    return np.concatenate(
        [rng.permutation(np.flatnonzero(labels == label))[:number] for label, number in counts.items()]
    )


def fidelity(
    synthetic: Features,
    synthetic_labels: Ints,
    validation: Features,
    validation_labels: Ints,
    other_real: Features | None,
    other_labels: Ints | None,
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
        other_real: (K, D) features of real images that are neither trained on nor in the validation set; None where
            there are none of a view of the validation set, so that there is no floor.
        other_labels: (K,) views; None likewise.
        count: images on each side; fewer where a set holds fewer of a view.
        repeats: draws, each with another choice.
        seed: of the draws.

    Returns:
        count n; frechet and kernel, the same with floor_ in front for the other real images, and with _sd behind:
        means and standard deviations over the draws. The floor is None where there are no other real images.

    Raises:
        EchosynthError: a set lacks a view of the validation set.
    """
    sides = [validation_labels, synthetic_labels, *([] if other_labels is None else [other_labels])]
    counts = matched_counts(sides, count)
    rows = []
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        real = validation[matched_draw(validation_labels, counts, rng)]
        fake = synthetic[matched_draw(synthetic_labels, counts, rng)]
        rows.append([frechet_distance(fake, real), kernel_distance(fake, real)])
        if other_real is not None and other_labels is not None:
            floor = other_real[matched_draw(other_labels, counts, rng)]
            rows[-1] += [frechet_distance(floor, real), kernel_distance(floor, real)]
    names, columns = ("frechet", "kernel", "floor_frechet", "floor_kernel"), np.transpose(rows)
    found: dict[str, Any] = {"count": sum(counts.values())}
    for name, values in zip_longest(names, columns):
        found |= {name: None, f"{name}_sd": None}
        if values is not None:
            found |= {name: float(values.mean()), f"{name}_sd": float(values.std())}
    return found


def fidelity_to_all(
    synthetic: Features,
    synthetic_labels: Ints,
    real: Features,
    real_labels: Ints,
    other_real: Features,
    other_labels: Ints,
    count: int,
    repeats: int,
    seed: int,
) -> dict[str, Any]:
    """Distances of a synthetic set from all images of a real one, whatever their number, and of other real images.

    Both are drawn with the mixture of views of the real set, of which nothing is left out. The Frechet distance is
    biased by the sizes of both sides, so the floor has as many images as the synthetic side, where there are so many.

    Args:
        synthetic: (N, D) features of the synthetic set.
        synthetic_labels: (N,) views.
        real: (M, D) features of the real images.
        real_labels: (M,) views.
        other_real: (K, D) features of further real images.
        other_labels: (K,) views.
        count: images of the synthetic side, 2 or more; fewer where the set holds fewer of a view.
        repeats: draws, each with another choice; one where it is of all that there are.
        seed: of the draws.

    Returns:
        count; real_count M; floor_count, images behind the floor; and what `fidelity` returns of distances. A standard
        deviation is None where one draw was all.

    Raises:
        EchosynthError: a set lacks a view of the real images.
    """
    counts = mixture_counts(real_labels, count, synthetic_labels)
    floor_counts = mixture_counts(real_labels, sum(counts.values()), other_labels)
    sides = (
        ("", synthetic, synthetic_labels, counts),
        ("floor_", other_real, other_labels, floor_counts),
    )
    found: dict[str, Any] = {
        "count": sum(counts.values()),
        "real_count": len(real),
        "floor_count": sum(floor_counts.values()),
    }
    for side, (prefix, features, labels, wanted) in enumerate(sides):
        everything = sum(wanted.values()) == np.isin(labels, list(wanted)).sum()
        rows = []
        for repeat in range(1 if everything else repeats):
            drawn = features[matched_draw(labels, wanted, np.random.default_rng((seed, repeat, side)))]
            rows.append([frechet_distance(drawn, real), kernel_distance(drawn, real)])
        for name, values in zip(("frechet", "kernel"), np.transpose(rows), strict=True):
            found[f"{prefix}{name}"] = float(values.mean())
            found[f"{prefix}{name}_sd"] = None if everything else float(values.std())
    return found
