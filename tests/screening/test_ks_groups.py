import numpy as np
import pytest
from scipy.stats import ks_2samp

from echosynth.screening.colour import difference_histogram
from echosynth.screening.ks_groups import (
    critical_value,
    ks_groups,
    ks_statistic,
    p_value,
)


def counts(values: np.ndarray) -> np.ndarray:
    return np.bincount(values, minlength=256)


def draw(rng: np.random.Generator, size: int) -> np.ndarray:
    """Levels such as of a first frame: many at 0, the others spread."""
    scale = rng.uniform(1, 40)
    return np.minimum(rng.exponential(scale, size).astype(int) * (rng.random(size) > rng.uniform(0.1, 0.9)), 255)


def test_the_histogram_counts_the_largest_difference_between_channels():
    frame = np.zeros((2, 3, 3), np.uint8)
    frame[0, 0], frame[0, 1], frame[1, 2] = (255, 0, 3), (10, 17, 12), (9, 2, 9)
    found = difference_histogram(frame)
    assert found.shape == (256,) and found.dtype == np.int64
    assert {level: int(n) for level, n in enumerate(found) if n} == {0: 3, 7: 2, 255: 1}
    grey = difference_histogram(np.full((4, 5), 90, np.uint8))
    assert grey[0] == 20 == grey.sum()


def test_the_histogram_is_that_of_the_straightforward_way():
    frame = np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    wide = frame.astype(int)
    pairs = [abs(wide[..., one] - wide[..., other]) for one, other in ((0, 1), (1, 2), (2, 0))]
    assert np.array_equal(difference_histogram(frame), counts(np.max(pairs, axis=0).ravel()))


@pytest.mark.parametrize("sizes", [(50, 50), (37, 90), (12_544, 12_544), (12_544, 30_000), (5, 7)])
def test_statistic_and_p_value_are_scipys(sizes):
    rng = np.random.default_rng(sum(sizes))
    for _ in range(20):
        first, second = draw(rng, sizes[0]), draw(rng, sizes[1])
        if rng.random() < 0.5:
            second = rng.choice(first, sizes[1])  # p-values that are not all tiny
        expected = ks_2samp(first, second, method="asymp")
        statistic = ks_statistic(counts(first), counts(second))
        assert statistic == pytest.approx(expected.statistic, abs=1e-12)
        assert p_value(statistic, *sizes) == pytest.approx(expected.pvalue, abs=1e-12, rel=1e-9)


def test_one_histogram_against_many():
    rng = np.random.default_rng(0)
    one, many = counts(draw(rng, 100)), np.stack([counts(draw(rng, 100 + n)) for n in range(6)])
    assert ks_statistic(one, many).tolist() == [float(ks_statistic(one, other)) for other in many]


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.5, 0.99])
@pytest.mark.parametrize("sizes", [(3, 3), (20, 31), (12_544, 12_544), (480_000, 786_432)])
def test_the_critical_value_is_where_the_p_value_crosses_alpha(sizes, alpha):
    critical = critical_value(*sizes, alpha)
    assert critical == critical_value(*reversed(sizes), alpha)
    assert p_value(critical, *sizes) == pytest.approx(alpha, rel=1e-9)
    # No statistic of whole counts lies closer to it than this.
    assert p_value(critical * (1 + 1e-9), *sizes) < alpha < p_value(critical * (1 - 1e-9), *sizes)


def reference(samples: list[np.ndarray], alpha: float) -> list[int]:
    """The study's description, word for word, on pixels."""
    founders = [-1] * len(samples)
    while -1 in founders:
        first = founders.index(-1)
        for number in [n for n, founder in enumerate(founders) if founder == -1]:
            same = number == first
            if same or ks_2samp(samples[first], samples[number], method="asymp").pvalue >= alpha:
                founders[number] = first
    return founders


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.4])
def test_groups_are_those_of_the_straightforward_way(alpha):
    rng = np.random.default_rng(3)
    kinds = [draw(rng, 400) for _ in range(6)]
    samples = [rng.choice(kinds[rng.integers(6)], rng.choice([400, 400, 250])) for _ in range(50)]
    samples += [np.zeros(400, int), np.zeros(300, int)]
    found = ks_groups(np.stack([counts(sample) for sample in samples]), alpha)
    assert found.tolist() == reference(samples, alpha)
    assert 5 < len(set(found.tolist())) < len(samples)


def test_a_higher_level_makes_more_groups():
    rng = np.random.default_rng(4)
    histograms = np.stack([counts(rng.poisson(5 + 0.1 * n, 500)) for n in range(40)])
    numbers = [len(np.unique(ks_groups(histograms, alpha))) for alpha in (0.001, 0.05, 0.5)]
    assert numbers[0] < numbers[1] < numbers[2]


def test_members_are_alike_to_the_founder_so_the_order_matters():
    # Neighbours are alike, the ends are not.
    low, middle, high = (counts(np.repeat([0, 9], [100 - n, n])) for n in (20, 35, 50))
    assert ks_groups(np.stack([middle, low, high]), 0.05).tolist() == [0, 0, 0]
    assert ks_groups(np.stack([low, middle, high]), 0.05).tolist() == [0, 0, 2]


def test_no_recording_and_one():
    assert ks_groups(np.zeros((0, 256), int), 0.05).tolist() == []
    assert ks_groups(counts(np.array([3, 4]))[None], 0.05).tolist() == [0]


def test_more_recordings_than_a_block_and_many_groups():
    histograms = np.zeros((6000, 256), np.int64)
    histograms[:, 0] = 10_000
    for number in range(200):
        histograms[number * 20, [0, 200]] = 10_000 - 40 * number, 40 * number
    founders = ks_groups(histograms, 0.05)
    # A difference of 193 pixels or more is significant here: each founder takes the next four steps of 40.
    assert len(np.unique(founders)) == 40
    assert (founders == 0).sum() == 5800 + 5
