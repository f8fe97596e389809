"""Embeddings: against scikit-learn, and what is kept of neighbours."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from echosynth.common.errors import EchosynthError
from echosynth.evaluation import embedding
from echosynth.evaluation.embedding import (
    histogram,
    neighbours,
    neighbours_kept,
    overlap,
    overlap_with_real,
    pca,
    scaled,
    stability,
    tsne,
)


@pytest.fixture(scope="module")
def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Three clouds in eight dimensions, far apart."""
    rng, labels = np.random.default_rng(0), np.arange(120) % 3
    return rng.normal(size=(120, 8)) + 12 * np.eye(8)[labels], labels


@pytest.mark.parametrize("limit", [10_000, 100])
def test_both_libraries_keep_clouds_apart(
    clouds: tuple[np.ndarray, np.ndarray], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labels = clouds
    monkeypatch.setattr(embedding, "EXACT_LIMIT", limit)
    points = tsne(features, perplexity=10, iterations=400)
    assert points.shape == (120, 2)
    np.testing.assert_array_equal(points, tsne(features, perplexity=10, iterations=400))
    kept = neighbours(points, 10) & (labels[:, None] == labels)
    assert kept.sum() == 1200, "every neighbour is of the same cloud"
    assert trustworthiness(features, points, n_neighbors=10) > 0.9


def test_tsne_is_scikit_learns(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = clouds
    theirs = TSNE(perplexity=10, max_iter=250, random_state=42).fit_transform(features)
    ours = tsne(features, perplexity=10, iterations=250)
    assert neighbours_kept(neighbours(ours, 10), neighbours(theirs.astype(np.float64), 10)).mean() > 0.9


def test_pca_is_scikit_learns_up_to_signs(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    theirs = PCA(2, svd_solver="full").fit_transform(clouds[0])
    np.testing.assert_allclose(np.abs(pca(clouds[0])), np.abs(theirs), rtol=1e-6, atol=1e-8)


def test_points_are_stretched_to_the_unit_square() -> None:
    points = scaled(np.array([[2.0, 5.0], [4.0, 5.0], [3.0, 5.0]]))
    assert points.tolist() == [[0, 0], [1, 0], [0.5, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"perplexity": 40}, "a perplexity of 40 is too large for 120 points: .* choose 39 or less"),
        ({"iterations": 100}, "t-SNE needs 250 iterations or more, not 100"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    clouds: tuple[np.ndarray, np.ndarray], change: dict[str, int], message: str
) -> None:
    with pytest.raises(EchosynthError, match=message):
        tsne(clouds[0], **change)


def test_features_must_be_finite(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(EchosynthError, match="not finite"):
        tsne(np.where(clouds[0] > 12, np.nan, clouds[0]))


def test_neighbours_are_the_nearest_but_the_point_itself() -> None:
    line = np.array([[0.0, 0], [1, 0], [3, 0], [7, 0]])
    assert [np.flatnonzero(row).tolist() for row in neighbours(line, 1)] == [[1], [0], [1], [2]]
    kept = neighbours_kept(neighbours(line, 2), neighbours(line[[0, 3, 2, 1]], 2))
    assert kept.tolist() == [0.5, 0.5, 0.5, 0.5]


def test_neighbours_of_unrelated_points_are_kept_by_chance() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 300, 2))
    assert neighbours_kept(neighbours(first, 30), neighbours(second, 30)).mean() == pytest.approx(30 / 299, abs=0.02)


def test_stability_names_the_shown_picture_the_others_and_pca(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    rows = stability(clouds[0], [5, 10], [250, 300], 8, shown=(10, 300))
    assert [(row["method"], row["perplexity"], row["iterations"]) for row in rows] == [
        ("t-SNE", 10, 300), ("t-SNE", 5, 250), ("t-SNE", 10, 250), ("t-SNE", 5, 300), ("PCA", None, None)
    ]  # fmt: skip
    assert rows[0]["shown"] == 1
    assert all(0 < row["features"] <= 1 and 0.5 < row["trustworthiness"] <= 1 for row in rows)
    assert rows[0]["features"] > rows[-1]["features"], "t-SNE keeps more neighbours than PCA"


def test_histograms_count_points_by_place() -> None:
    counts = histogram(np.array([[0.0, 0.0], [0.1, 0.9], [0.2, 0.8], [1.0, 1.0]]), 2)
    assert counts.tolist() == [[1, 2], [0, 1]]


def test_overlap_is_the_common_share() -> None:
    rng = np.random.default_rng(0)
    left = rng.uniform(size=(500, 2)) * [0.5, 1]
    right = left + np.array([0.5, 0])
    assert overlap(left, left, 10) == pytest.approx(1)
    assert overlap(left, right, 10) == 0
    assert overlap(left, np.concatenate([left, right]), 10) == pytest.approx(0.5)


def test_synthetic_points_are_measured_against_halves_of_the_real_patients() -> None:
    rng = np.random.default_rng(0)
    real, groups = rng.uniform(size=(2000, 2)), np.repeat(np.arange(500).astype(str), 4)
    alike = overlap_with_real(real, groups, rng.uniform(size=(1500, 2)), 8, 5, 0)
    assert alike["points"] == 1000
    assert alike["synthetic"] == pytest.approx(alike["real"], abs=0.03)
    narrow = overlap_with_real(real, groups, rng.uniform(size=(1500, 2)) * 0.5, 8, 5, 0)
    assert narrow["synthetic"] == pytest.approx(0.25, abs=0.03)
    assert overlap_with_real(real[:3], groups[:3], real, 8, 5, 0) == {"points": 0, "synthetic": None, "real": None}
