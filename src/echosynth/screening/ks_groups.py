"""Groups of recordings whose colours look alike: Kolmogorov-Smirnov tests between first frames (study, section 3.7.1).

What is compared is the per-pixel maximum absolute difference between the colour channels. It takes 256 values, so that
256 counts hold all that the test needs; pixels are touched once, and no frame is kept.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import kstwo

# Of the 256 levels so many are looked at first; a test that rejects mostly shows it there.
TELLING = 16
BLOCK = 4096  # distributions compared at a time; bounds the memory

Histogram = npt.NDArray[np.integer]
Fractions = npt.NDArray[np.float64]


def cumulative(histograms: Histogram) -> Fractions:
    """Empirical distribution functions (..., 256) of histograms (..., 256), each of at least one pixel."""
    sums = np.cumsum(histograms, axis=-1, dtype=np.int64)
    return sums / sums[..., -1:]


def ks_statistic(first: Histogram, second: Histogram) -> Fractions:
    """Two-sample Kolmogorov-Smirnov statistic, exact: the distribution functions jump at whole numbers only.

    Args:
        first: (..., 256) counts.
        second: (..., 256) counts; one histogram against many, or many against as many.

    Returns:
        The largest distance between the distribution functions, 0 to 1, of the broadcast shape less its last axis.
    """
    return np.asarray(np.abs(cumulative(first) - cumulative(second)).max(axis=-1), np.float64)


def _effective(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """n m / (n + m), rounded, as in scipy's `ks_2samp`."""
    n, m = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return np.round(np.maximum(n, m) * np.minimum(n, m) / (n + m))


def p_value(statistic: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Two-sided p-value as of `scipy.stats.ks_2samp(..., method="asymp")`.

    Args:
        statistic: see `ks_statistic`.
        first: number of pixels in one frame.
        second: number of pixels in the other frame.
    """
    return np.clip(kstwo.sf(statistic, _effective(first, second)), 0.0, 1.0)


@lru_cache(maxsize=1 << 16)
def _critical(effective: float, alpha: float) -> float:
    """The statistic whose p-value is alpha, to about the precision of a float.

    The search starts round the asymptotic value, as scipy takes long for some statistics far out in the tail.
    """

    def excess(statistic: float) -> float:
        return float(kstwo.logsf(statistic, effective)) - math.log(alpha)

    guess = math.sqrt(math.log(2 / alpha) / 2 / effective)
    for reach in (0.01, 0.1):
        low, high = (1 - reach) * guess, min(1.0, (1 + reach) * guess)
        if excess(low) > 0 > excess(high):
            break
    else:
        low, high = 0.5 / effective, 1.0
        if excess(high) >= 0:
            return 1.0
    return float(brentq(excess, low, high, xtol=1e-17, rtol=4 * np.finfo(float).eps))


def critical_value(first: int, second: int, alpha: float) -> float:
    """The test at level `alpha` of frames with so many pixels rejects exactly the statistics above this value."""
    return _critical(float(_effective(first, second)), alpha)


def _critical_values(first: int, second: npt.NDArray[np.integer], alpha: float) -> npt.NDArray[np.float64]:
    """`critical_value` for each of many second frames."""
    sizes, size_of = np.unique(second, return_inverse=True)
    return np.array([critical_value(first, int(size), alpha) for size in sizes])[size_of]


def _telling_levels(fractions: Fractions) -> npt.NDArray[np.intp]:
    """Up to `TELLING` levels at which the mean distribution function grows evenly."""
    mean = fractions.mean(axis=0)
    return np.unique(np.searchsorted(mean, np.linspace(mean[0], mean[-1], TELLING, endpoint=False)))


def ks_groups(histograms: Histogram, alpha: float) -> npt.NDArray[np.int64]:
    """Group recordings as in the study: the first one without a group founds one, and all others without a group that
    the test at level `alpha` does not tell from the founder join it; repeated until each has a group.

    Members are alike to their founder, not to each other, and the order matters.

    Args:
        histograms: (N, 256) counts, a row a recording.
        alpha: level of the test, 0 to 1.

    Returns:
        (N,) the row of the group's founder for each recording.
    """
    if not len(histograms):
        return np.zeros(0, np.int64)
    functions, sizes = cumulative(histograms), histograms.sum(axis=1)
    smallest = int(sizes.min())
    founders = np.full(len(functions), -1, np.int64)
    rest = np.arange(len(functions))
    telling = np.ascontiguousarray(functions[:, _telling_levels(functions)].T)  # whole levels are compared
    while len(rest):
        founder, others = rest[0], rest[1:]
        # The fewer pixels, the larger the critical value.
        most = critical_value(int(sizes[founder]), smallest, alpha)
        alike = np.abs(telling[:, 1:] - telling[:, :1]).max(axis=0) <= most
        near = np.flatnonzero(alike)
        for start in range(0, len(near), BLOCK):
            block = near[start : start + BLOCK]
            distance = np.abs(functions[others[block]] - functions[founder]).max(axis=1)
            alike[block] = distance <= _critical_values(int(sizes[founder]), sizes[others[block]], alpha)
        founders[founder] = founders[others[alike]] = founder
        rest = others[~alike]
        telling = telling[:, 1:][:, ~alike] if alike.any() else telling[:, 1:]
    return founders
