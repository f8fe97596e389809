"""Distances against closed forms and direct sums."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from echosynth.common.errors import EchosynthError
from echosynth.evaluation import frechet
from echosynth.evaluation.fidelity import fidelity, fidelity_to_all, matched_counts, matched_draw, mixture_counts
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


def test_fewer_images_than_features_agree_with_the_eigenvalues_of_the_product() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(20, 40)), 2 * rng.normal(size=(30, 40)) + 0.5
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(ca @ cb).real.clip(min=0)).sum()
    reference = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(reference, rel=1e-5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


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


def test_mixture_counts_are_the_references_shares() -> None:
    reference = np.repeat(np.arange(4), [10, 20, 30, 5])
    assert mixture_counts(reference, 13) == {0: 2, 1: 4, 2: 6, 3: 1}
    assert mixture_counts(reference, 6500) == {0: 1000, 1: 2000, 2: 3000, 3: 500}
    assert mixture_counts(np.repeat(np.arange(4), [47, 47, 1, 1]), 4) == dict.fromkeys(range(4), 1)
    rng = np.random.default_rng(7)
    for _ in range(200):
        reference = np.repeat(np.arange(3), rng.integers(2, 40, 3))
        count = int(rng.integers(30, 2000))
        counts, shares = mixture_counts(reference, count), count * np.bincount(reference) / len(reference)
        assert sum(counts.values()) == count
        assert all(counts[view] == 1 or abs(counts[view] - shares[view]) < 2 for view in range(3))
        # A set that was made for this number is drawn whole.
        made = np.repeat(list(counts), list(counts.values()))
        assert mixture_counts(reference, count, made) == counts


def test_a_poor_set_gives_the_largest_mixture_that_it_can() -> None:
    rng = np.random.default_rng(8)
    for _ in range(100):
        reference, held = (np.repeat(np.arange(3), rng.integers(1, 30, 3)) for _ in range(2))
        count = int(rng.integers(3, 120))
        counts = mixture_counts(reference, count, held)

        def fits(number: int, reference: np.ndarray = reference, held: np.ndarray = held) -> bool:
            return all(wanted <= (held == view).sum() for view, wanted in mixture_counts(reference, number).items())

        total = sum(counts.values())
        assert counts == mixture_counts(reference, total)
        assert fits(total)
        assert not any(fits(more) for more in range(total + 1, count + 1))


def test_a_mixture_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(EchosynthError, match="none of view PSAX"):
        mixture_counts(np.arange(4), 10, np.arange(3))
    with pytest.raises(EchosynthError, match="a single one of view A4C"):
        mixture_counts(np.ones(9, int), 10, np.ones(1, int))


def test_distances_to_all_real_images_at_unequal_n_are_those_of_their_moments() -> None:
    rng = np.random.default_rng(8)

    def features(number: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
        views = np.repeat([1, 2], [3 * number // 4, number // 4])
        return rng.normal(size=(number, 5)) * [1, 2, 1, 1, 0.5] + shift + views[:, None], views

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        ca, cb = np.cov(a.T), np.cov(b.T)
        return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)

    (real, labels), (made, views), (other, others) = features(60, 0.0), features(200, 0.3), features(120, 0.1)
    found = fidelity_to_all(made, views, real, labels, other, others, 1000, 3, 0)
    assert [found[key] for key in ("count", "real_count", "floor_count")] == [200, 60, 120]
    assert found["frechet"] == pytest.approx(distance(made, real), rel=1e-6)
    assert found["floor_frechet"] == pytest.approx(distance(other, real), rel=1e-6)
    assert found["kernel"] == pytest.approx(kernel_distance(made, real))
    assert found["frechet_sd"] is found["kernel_sd"] is None
    # 30 and 10 of the views, drawn here with other numbers.
    fewer = fidelity_to_all(made, views, real, labels, other, others, 40, 50, 0)
    draws = [
        distance(np.concatenate([rng.permutation(made[:150])[:30], rng.permutation(made[150:])[:10]]), real)
        for _ in range(50)
    ]
    assert fewer["count"] == fewer["floor_count"] == 40
    assert abs(fewer["frechet"] - np.mean(draws)) < 4 * np.std(draws) * np.sqrt(2 / 50)
    assert fewer["frechet"] > found["frechet"]  # fewer samples, more bias


def test_large_kernel_distances_are_added_up_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(70, 6)), rng.normal(size=(45, 6))
    whole = kernel_distance(a, b)
    monkeypatch.setattr(frechet, "BLOCK", 20)
    assert kernel_distance(a, b) == pytest.approx(whole)
