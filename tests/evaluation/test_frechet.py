"""Distances against closed forms and direct sums."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from echosynth.common.errors import EchosynthError
from echosynth.evaluation.fidelity import fidelity, matched_counts, matched_draw
from echosynth.evaluation.frechet import frechet_distance, kernel_distance


def test_distance_of_a_set_to_itself_is_zero() -> None:
    x = np.random.default_rng(0).normal(size=(300, 12))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_diagonal_gaussians_have_the_closed_form() -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2, on whitened samples that have exactly these moments."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 3))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    s1, s2, shift = np.array([1.0, 2.0, 0.5]), np.array([1.5, 1.0, 3.0]), np.array([1.0, -2.0, 0.0])
    assert frechet_distance(x * s1, x * s2 + shift) == pytest.approx(((s1 - s2) ** 2).sum() + (shift**2).sum())


def test_agrees_with_the_matrix_square_root_of_scipy() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(80, 20)) @ rng.normal(size=(20, 20)), rng.normal(size=(90, 20)) + 0.3
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    reference = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(reference, rel=1e-6)


def test_singular_covariances_are_fine() -> None:
    rng = np.random.default_rng(3)
    assert np.isfinite(frechet_distance(rng.normal(size=(20, 100)), rng.normal(size=(30, 100))))


def test_kernel_distance_is_the_direct_sum_and_unbiased() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    direct = np.mean([k(a[i], a[j]) for i in range(7) for j in range(7) if i != j])
    direct += np.mean([k(b[i], b[j]) for i in range(5) for j in range(5) if i != j])
    direct -= 2 * np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(direct)
    equal = [kernel_distance(rng.normal(size=(40, 8)), rng.normal(size=(40, 8))) for _ in range(200)]
    assert abs(np.mean(equal)) < 3 * np.std(equal) / np.sqrt(200)


def test_matched_draws_have_the_views_that_every_set_can_give() -> None:
    reference, poor = np.repeat(np.arange(4), [10, 20, 30, 5]), np.repeat(np.arange(4), [50, 8, 50, 50])
    counts = matched_counts([reference, poor], 1000)
    assert counts == {0: 10, 1: 8, 2: 30, 3: 5}
    drawn = matched_draw(poor, counts, np.random.default_rng(0))
    assert np.bincount(poor[drawn]).tolist() == [10, 8, 30, 5]
    assert len(set(drawn)) == len(drawn)
    assert sum(matched_counts([reference, poor], 20).values()) <= 20


def test_a_set_without_a_view_is_refused() -> None:
    with pytest.raises(EchosynthError, match="none of view PSAX"):
        matched_counts([np.arange(4), np.arange(3)], 10)


def test_fidelity_ranks_a_good_set_near_the_floor_and_a_bad_one_far_from_it() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 300)
    balanced = np.repeat(np.arange(4), 100)

    def features(labels: np.ndarray, shift: float) -> np.ndarray:
        return rng.normal(size=(len(labels), 6)) + 4 * np.eye(6)[labels] + shift

    real, other = features(labels, 0.0), features(labels, 0.0)
    good = fidelity(features(balanced, 0.0), balanced, real, labels, other, labels, 200, 4, 0)
    bad = fidelity(features(balanced, 1.0), balanced, real, labels, other, labels, 200, 4, 0)
    assert 190 <= good["count"] <= 200
    assert good["frechet"] < 2 * good["floor_frechet"]
    assert bad["frechet"] > 5 * bad["floor_frechet"]
    assert bad["kernel"] > 10 * abs(good["kernel"])
    assert abs(good["kernel"] - good["floor_kernel"]) < 4 * (good["kernel_sd"] + good["floor_kernel_sd"])


def test_without_other_images_the_distance_is_the_same_and_there_is_no_floor() -> None:
    rng = np.random.default_rng(6)
    labels, features = rng.integers(0, 4, 80), rng.normal(size=(3, 80, 5))
    whole = fidelity(features[0], labels, features[1], labels, features[2], labels, 80, 2, 0)
    without = fidelity(features[0], labels, features[1], labels, None, None, 80, 2, 0)
    assert whole.keys() == without.keys()
    for name, value in without.items():
        assert value is None if name.startswith("floor_") else value == whole[name]
