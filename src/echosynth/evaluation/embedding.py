"""Many features as points of a plane, and how far such a picture can be trusted.

t-SNE (van der Maaten & Hinton 2008, "Visualizing data using t-SNE") keeps neighbours, not distances: clusters, their
sizes and the gaps between them depend on the perplexity and on when it was stopped. PCA, which keeps what varies most,
has none of these knobs. `stability` says how many neighbours of a point are the same points from one picture to the
next.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from echosynth.common.errors import EchosynthError

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
EXACT_LIMIT = 10_000  # points up to which scikit-learn's t-SNE is used, as in the study; openTSNE is faster beyond
EARLY = 250  # iterations with exaggerated attraction, with which both begin


def scaled(points: Floats) -> Floats:
    """Stretch each axis of points (N, 2) to [0, 1], as in the study; an axis on which all are equal becomes 0."""
    low, span = points.min(0), np.ptp(points, axis=0)
    result: Floats = (points - low) / np.where(span > 0, span, 1)
    return result


def pca(features: Floats) -> Floats:
    """Project features (N, D) on their two principal axes, (N, 2)."""
    return np.asarray(PCA(2, svd_solver="covariance_eigh").fit_transform(features), np.float64)


def check_perplexity(perplexity: float, points: int) -> None:
    """Check that t-SNE has enough points for a perplexity.

    Raises:
        EchosynthError: it has not.
    """
    if 3 * perplexity + 1 >= points:
        raise EchosynthError(
            f"a perplexity of {perplexity:g} is too large for {points} points: t-SNE looks at three times as many "
            f"neighbours; choose {max((points - 2) // 3, 0)} or less, or more points"
        )


def tsne(features: Floats, perplexity: float = 30, iterations: int = 1000, seed: int = 42) -> Floats:
    """Embed features by t-SNE. The defaults are the study's.

    Sums are made by one thread, so that one machine gives the same points each time; another kind of processor rounds
    differently, which t-SNE magnifies.

    Args:
        features: (N, D).
        perplexity: about how many neighbours a point has, 1 or more; three times as many are looked at.
        iterations: 250 or more, the early ones included.
        seed: of the start and, beyond 10,000 points, of the search for neighbours.

    Returns:
        (N, 2), not scaled.

    Raises:
        EchosynthError: there are too few points or iterations, or a feature is not finite.
    """
    if not np.isfinite(features).all():
        raise EchosynthError("features are not finite: their network's training went wrong; train it anew")
    check_perplexity(perplexity, len(features))
    if iterations < EARLY:
        raise EchosynthError(f"t-SNE needs {EARLY} iterations or more, not {iterations}")
    with threadpool_limits(1):
        if len(features) <= EXACT_LIMIT:
            made = TSNE(perplexity=perplexity, max_iter=iterations, random_state=seed).fit_transform(features)
        else:
            from openTSNE import TSNE as FastTSNE  # a second to import

            rest = iterations - EARLY
            made = FastTSNE(
                perplexity=perplexity, early_exaggeration_iter=EARLY, n_iter=rest, random_state=seed, n_jobs=1
            ).fit(features)
    return np.array(made, np.float64)


def neighbours(points: Floats, count: int) -> npt.NDArray[np.bool_]:
    """Which points are among the `count` nearest of each: (N, N), without the point itself."""
    nearest = NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)
    result = np.zeros((len(points), len(points)), bool)
    np.put_along_axis(result, nearest, True, axis=1)
    return result


def neighbours_kept(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Floats:
    """Which share of each point's neighbours in one picture are its neighbours in another: (N,) in [0, 1]. By chance
    it is count / (N - 1)."""
    result: Floats = (first & second).sum(1) / first.sum(1)
    return result


def stability(
    features: Floats,
    perplexities: Iterable[float],
    iterations: Iterable[int],
    count: int,
    shown: tuple[float, int] = (30, 1000),
    seed: int = 42,
) -> list[dict[str, Any]]:
    """Compare pictures of the same points over perplexities and iterations, and with PCA.

    Args:
        features: (N, D); the time grows with N^2, so that a few thousand points at most should be given.
        perplexities: of t-SNE.
        iterations: of t-SNE, each with each perplexity.
        count: neighbours of a point, below N / 2.
        shown: perplexity and iterations of the picture that is shown.
        seed: of t-SNE.

    Returns:
        A row for each picture, the shown one first, PCA last: `method`, `perplexity` and `iterations` (None of PCA);
        `features`, the mean share of each point's neighbours by features that are its neighbours in this picture;
        `shown`, the same of its neighbours in the picture that is shown; `trustworthiness` of scikit-learn in [0, 1]
        (Venna & Kaski 2001), 1 less a penalty for each neighbour in the picture that is none by features.
    """
    settings = dict.fromkeys([shown, *((p, i) for i in iterations for p in perplexities)])
    pictures = [("t-SNE", *setting, partial(tsne, features, *setting, seed)) for setting in settings]
    truth, rows = neighbours(features, count), []
    reference = None
    for method, perplexity, number, draw in (*pictures, ("PCA", None, None, partial(pca, features))):
        points = draw()
        near = neighbours(points, count)
        reference = near if reference is None else reference
        row: dict[str, Any] = {"method": method, "perplexity": perplexity, "iterations": number}
        row["features"] = float(neighbours_kept(truth, near).mean())
        row["shown"] = float(neighbours_kept(reference, near).mean())
        row["trustworthiness"] = float(trustworthiness(features, points, n_neighbors=count))
        rows.append(row)
    return rows


def histogram(points: Floats, bins: int) -> npt.NDArray[np.int64]:
    """Count points (N, 2) in [0, 1] in equal cells, (bins, bins): first axis x, second y."""
    counts = np.histogram2d(points[:, 0], points[:, 1], bins=bins, range=[(0, 1), (0, 1)])[0]
    return counts.astype(np.int64)


def overlap(first: Floats, second: Floats, bins: int) -> float:
    """Which share two sets of points (N, 2) in [0, 1] have in common as histograms: sum of the smaller of both shares
    over the cells, 0 to 1."""
    shares = [histogram(points, bins) / len(points) for points in (first, second)]
    return float(np.minimum(*shares).sum())


def overlap_with_real(
    real: Floats, groups: npt.NDArray[np.str_], synthetic: Floats, bins: int, repeats: int, seed: int
) -> dict[str, float | int | None]:
    """Compare the histograms of real and synthetic points, beside those of two halves of the real patients.

    All have equally many points, since histograms of few points overlap less.

    Args:
        real: (N, 2) in [0, 1].
        groups: (N,) their patients.
        synthetic: (M, 2) in [0, 1].
        bins: of each axis.
        repeats: draws of halves and points, which are averaged.
        seed: of the draws.

    Returns:
        `points`: of each side (the mean); `synthetic`: overlap of synthetic points with one half of the real patients;
        `real`: of the other half with it. None of both where a side would have no point.
    """
    rng, found, names = np.random.default_rng(seed), [], np.unique(groups)
    for _ in range(repeats):
        half = np.isin(groups, rng.permutation(names)[: len(names) // 2])
        sides = [real[half], real[~half], synthetic]
        size = min(map(len, sides))
        if size:
            one, other, made = (rng.permutation(side)[:size] for side in sides)
            found.append((size, overlap(one, made, bins), overlap(one, other, bins)))
    if not found:
        return {"points": 0, "synthetic": None, "real": None}
    points, made, floor = np.mean(found, axis=0).tolist()
    return {"points": round(points), "synthetic": made, "real": floor}
