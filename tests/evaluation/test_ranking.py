"""Early selection, against scipy and by hand."""

import numpy as np
import pytest
import scipy.stats

from echosynth.evaluation.ranking import choice, early_selection, kendall, resampled_means


def test_tau_is_scipys_with_and_without_ties() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(4, size=(2, 50, 7)).astype(np.float64)
    first[:10] = rng.normal(size=(10, 7))
    expected = [scipy.stats.kendalltau(a, b).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(kendall(first, second), expected, rtol=1e-12)
    assert np.isnan(kendall(np.ones((1, 5)), second[:1, :5])[0])


def test_the_choice_is_judged_by_the_score_that_counts() -> None:
    late = np.array([[0.9, 0.7, 0.8], [0.9, 0.7, 0.8], [0.9, 0.9, 0.8]])
    early = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 1.0]])
    top, regret = choice(early, late)
    assert top.tolist() == [1, 0, 1], "an equal best is as good"
    np.testing.assert_allclose(regret, [0, 0.1, 0])


def test_the_first_row_is_the_study_itself_and_the_others_draw_seeds_with_replacement() -> None:
    scores = [np.array([[1.0], [2.0], [6.0]]).repeat(4000, 1), np.array([[5.0]]).repeat(4000, 1)]
    means = resampled_means(scores, np.random.default_rng(0))
    assert means[0].tolist() == [3, 5]
    assert means[1:, 0].mean() == pytest.approx(3, abs=0.1)
    assert means[1:, 0].std() == pytest.approx(np.std([1, 2, 6]) / np.sqrt(3), rel=0.05)
    assert set(means[:, 1]) == {5}


def test_a_ranking_that_predicts_and_one_that_does_not() -> None:
    rng = np.random.default_rng(1)
    level = np.linspace(0.7, 0.95, 6)

    def scores(levels: np.ndarray, noise: float = 0.002) -> list[np.ndarray]:
        return [value + noise * rng.normal(size=(3, 200)) for value in levels]

    early = {"real": scores(level[::-1]), "synthetic": scores(level)}
    result = early_selection(early, scores(level), "real", 0)
    good, bad = result["synthetic"], result["real"]
    assert (good["tau"]["value"], bad["tau"]["value"]) == (1, -1)
    assert good["tau"]["interval"] == [1, 1]
    assert good["tau"]["chance"] == pytest.approx(1 / 720, abs=0.002)
    assert bad["tau"]["chance"] == 1
    assert good["top1"] == {"value": 1, "share": 1, "random": pytest.approx(1 / 6)}
    assert bad["top1"]["value"] == 0
    assert bad["regret"]["value"] == pytest.approx(0.25, abs=0.01)
    assert bad["regret"]["random"] == pytest.approx(0.125, abs=0.01)
    assert good["versus"]["tau"] == {"value": 2, "interval": [2, 2]}
    assert good["versus"]["regret"]["interval"][1] < 0
    assert "versus" not in bad


def test_rankings_by_chance_have_wide_intervals() -> None:
    rng = np.random.default_rng(2)
    same = [[rng.normal(size=(3, 300)) for _ in range(6)] for _ in range(3)]
    tau = early_selection({"real": same[0], "synthetic": same[1]}, same[2], "real", 0)["synthetic"]["tau"]
    assert tau["interval"][0] < -0.4
    assert tau["interval"][1] > 0.4


def test_without_draws_there_are_no_intervals() -> None:
    scores = [np.array([[0.1 * i]]) for i in range(3)]
    found = early_selection({"real": scores}, scores, "real", 0)["real"]
    assert found["tau"]["interval"] == [None, None]
    assert found["top1"]["share"] is None
