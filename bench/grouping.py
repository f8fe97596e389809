"""Grouping recordings by Kolmogorov-Smirnov tests: on cumulative histograms, and on pixels as `ks_2samp` has it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from bench.results import Comparison, compare
from echosynth.screening.colour import difference_histogram
from echosynth.screening.ks_groups import ks_groups

SEED = 0
SIDE = 112
PIXELS = SIDE * SIDE
LEVELS = 256
TARGET = 200.0
# Usable, tinted, unusable recordings: as in the phantoms, most first frames are plain grey.
SHARES = (0.91, 0.05, 0.04)

Histograms = npt.NDArray[np.int64]
Case = Literal["mostly grey", "thousands of groups"]
Rng = np.random.Generator


@dataclass(frozen=True)
class Sizes:
    """How many recordings are grouped, pairs tested by `ks_2samp`, frames counted; how often, the best run counts."""

    videos: int = 10_000
    pairs: int = 100
    frames: int = 200
    repeats: int = 3


QUICK = Sizes(60, 5, 2, 1)


def _coloured(rng: Rng, levels: int) -> npt.NDArray[np.int64]:
    """Counts of a first frame with colours: dark pixels without any, the others spread over `levels` levels."""
    shares = np.zeros(LEVELS)
    shares[0] = rng.uniform(0.4, 0.9)
    places = rng.choice(np.arange(1, LEVELS), levels, replace=False)
    shares[places] = rng.dirichlet(np.ones(levels)) * (1 - shares[0])
    return rng.multinomial(PIXELS, shares / shares.sum())


def histograms(case: Case, count: int) -> Histograms:
    """(count, 256) counts of the colour differences in frames of 112 x 112."""
    rng = np.random.default_rng(SEED)
    if case == "thousands of groups":
        return np.stack([_coloured(rng, 16) for _ in range(count)])
    grey = np.bincount([0], minlength=LEVELS) * PIXELS
    kinds = rng.choice(3, count, p=SHARES)
    # Tints shift grey levels by a few; Doppler and odd colours reach all levels.
    return np.stack([grey if kind == 0 else _coloured(rng, 12 if kind == 1 else 200) for kind in kinds])


def number_of_tests(founders: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Row i: how many recordings are tested against recording i; 0 when it founds no group.

    A founder is tested against all later recordings that have no group yet: those whose founder comes no earlier.
    """
    tests = np.zeros(len(founders), np.int64)
    for founder in np.unique(founders):
        tests[founder] = int((founders[founder + 1 :] >= founder).sum())
    return tests


def draw_pairs(founders: npt.NDArray[np.int64], count: int) -> Iterator[tuple[int, int]]:
    """Founder and recording of tests that the grouping needs, all equally likely."""
    rng = np.random.default_rng(SEED)
    tests = number_of_tests(founders)
    for founder in rng.choice(len(tests), count, p=tests / tests.sum()):
        later = np.flatnonzero(founders[founder + 1 :] >= founder) + founder + 1
        yield int(founder), int(rng.choice(later))


def frame(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """(112, 112) colour differences with these counts, in random order."""
    values = np.repeat(np.arange(LEVELS, dtype=np.uint8), counts)
    return np.random.default_rng(SEED).permutation(values).reshape(SIDE, SIDE)


def measure_grouping(sizes: Sizes, case: Case, alpha: float) -> Comparison:
    """Group recordings by their first frames.

    Both sides start from frames. Ours counts the levels (timed on a sample of the frames) and groups all recordings.
    The other side makes the same tests with scipy's `ks_2samp` on the pixels' differences, which are given to it:
    timed on a sample of the pairs and multiplied by the number of pairs that this grouping tests.

    Raises:
        AssertionError: the two disagree about a pair.
    """
    counts = histograms(case, sizes.videos)
    founders = ks_groups(counts, alpha)
    total = int(number_of_tests(founders).sum())
    differences = [frame(row) for row in counts[: sizes.frames]]
    colours = [np.stack([picture, np.zeros_like(picture), np.zeros_like(picture)], axis=2) for picture in differences]
    sample = list(draw_pairs(founders, sizes.pairs))
    pixels = [(frame(counts[first]).ravel(), frame(counts[second]).ravel()) for first, second in sample]

    def ours() -> float:
        began = time.perf_counter()
        for picture in colours:
            difference_histogram(picture)
        counting = (time.perf_counter() - began) / len(colours) * sizes.videos
        began = time.perf_counter()
        ks_groups(counts, alpha)
        return counting + time.perf_counter() - began

    def theirs() -> float:
        began = time.perf_counter()
        alike = [bool(ks_2samp(first, second).pvalue >= alpha) for first, second in pixels]
        seconds = time.perf_counter() - began
        assert alike == [bool(founders[second] == first) for first, second in sample]
        return seconds / len(sample) * total

    return compare(
        f"Kolmogorov-Smirnov groups, {case}",
        TARGET,
        ours,
        theirs,
        f"scipy ks_2samp on pixels, extrapolated from {len(sample)} of {total:,} pairs",
        f"{sizes.videos:,} videos of {SIDE} x {SIDE}, {len(np.unique(founders)):,} groups",
        sizes.repeats,
    )
