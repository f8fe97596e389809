"""Cells, pairs and the best run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats

from echosynth.common.views import VIEWS
from echosynth.evaluation.comparison import ScoredClassifier, compare
from echosynth.evaluation.scores import evaluate


def runs(skill: dict[tuple[str, int], float]) -> tuple[list[ScoredClassifier], np.ndarray, np.ndarray]:
    """Runs whose logits carry more or less of the truth."""
    rng = np.random.default_rng(0)
    labels, groups = np.arange(160) % 4, np.arange(160) // 2
    sources = np.where(labels == 1, "echonet-dynamic", "tmed2")
    noise = rng.normal(size=(160, 4))
    result = []
    for (arm, seed), strength in skill.items():
        logits = noise + 0.1 * rng.normal(size=(160, 4)) + strength * np.eye(4)[labels]
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        facts: dict[str, Any] = {
            "arm": arm,
            "subset": "150",
            "real_images": 150,
            "architecture": "resnet18",
            "seed": seed,
        }
        facts |= {"images": 150, "synthetic": 0, "steps": 10}
        result.append(ScoredClassifier(facts, evaluate(probabilities, labels, groups, sources), probabilities))
    return result, labels, groups


SKILL = {("real", 0): 0.8, ("real", 1): 1.0, ("synthetic", 0): 2.5, ("synthetic", 1): 2.7}


def test_cells_are_means_over_seeds_and_the_best_run_is_named() -> None:
    members, labels, groups = runs(SKILL)
    result = compare(members, labels, groups, 200, 0)
    real, synthetic = result["cells"]
    single = [item["macro_auprc"] for item in result["runs"][:2]]
    assert real["macro_auprc"] == pytest.approx(np.mean(single))
    assert real["macro_auprc_sd"] == pytest.approx(np.std(single, ddof=1))
    assert real["interval"]["macro_auprc"][0] < real["macro_auprc"] < real["interval"]["macro_auprc"][1]
    assert np.array(real["confusion"]).sum() == 2 * 160
    assert real["versus"]["synthetic"]["macro_auprc"] == -synthetic["versus"]["real"]["macro_auprc"]
    assert synthetic["versus"]["real"]["macro_auprc"] == pytest.approx(synthetic["macro_auprc"] - real["macro_auprc"])
    assert synthetic["versus"]["real"]["macro_auprc_interval"][0] > 0
    assert result["best"]["arm"] == "synthetic"
    assert result["best"]["macro_auprc"] == max(item["macro_auprc"] for item in result["runs"])


def test_a_baseline_is_compared_with_and_never_the_best() -> None:
    result = compare(*runs(SKILL | {("gaussian", 0): 5.0, ("mixed-mixup", 0): 5.0}), 20, 0)
    assert [cell["arm"] for cell in result["cells"]] == ["real", "synthetic", "gaussian", "mixed-mixup"]
    assert result["cells"][2]["macro_auprc"] > result["best"]["macro_auprc"]
    assert result["best"]["arm"] == "synthetic"


def test_without_a_candidate_there_is_no_best() -> None:
    result = compare(*runs({("frozen", 0): 1.0, ("gaussian", 0): 1.0}), 0, 0)
    assert result["best"] is None
    assert [cell["arm"] for cell in result["cells"]] == ["frozen", "gaussian"]


def test_false_positives_are_those_of_the_confusion_matrix() -> None:
    members, labels, groups = runs(SKILL)
    real, synthetic = compare(members, labels, groups, 200, 0)["cells"]
    counts = np.array(real["confusion"])
    for index, view in enumerate(VIEWS):
        others = np.delete(np.arange(4), index)
        assert real["false_positives"][view] == pytest.approx(counts[others, index].sum() / counts[others].sum())
        low, high = real["interval"]["false_positives"][view]
        assert low < real["false_positives"][view] < high
    versus = synthetic["versus"]["real"]
    assert versus["false_positives"]["A4C"] == pytest.approx(
        synthetic["false_positives"]["A4C"] - real["false_positives"]["A4C"]
    )
    assert versus["false_positives_interval"]["A4C"][1] < 0


def test_images_of_some_views_alone_give_the_scores_that_they_can() -> None:
    """A set of another domain need not show every view."""
    members, labels, groups = runs(SKILL)
    for views in ([0, 1, 2], [1]):
        kept = np.isin(labels, views)
        few = [
            replace(
                run,
                probabilities=run.probabilities[kept],
                scores=evaluate(run.probabilities[kept], labels[kept], groups[kept], np.full(kept.sum(), "unity")),
            )
            for run in members
        ]
        cell = compare(few, labels[kept], groups[kept], 50, 0)["cells"][0]
        assert cell["recall"]["PSAX"] is None
        assert cell["interval"]["recall"]["PSAX"] == [None, None]
        assert cell["false_positives"]["PSAX"] > 0, "an absent view can be called all the same"
        assert (cell["macro_auprc"] is None) == (cell["macro_auprc_sd"] is None) == (len(views) == 1)
        assert (cell["false_positives"]["A4C"] is None) == (len(views) == 1)


def test_pairing_makes_the_interval_of_a_difference_narrower_than_the_scores_own() -> None:
    members, labels, groups = runs({("real", 0): 1.0, ("synthetic", 0): 1.0})
    real, synthetic = compare(members, labels, groups, 400, 0)["cells"]
    low, high = synthetic["versus"]["real"]["macro_auprc_interval"]
    assert low < 0 < high or abs(synthetic["versus"]["real"]["macro_auprc"]) < 0.05
    assert high - low < 0.6 * (real["interval"]["macro_auprc"][1] - real["interval"]["macro_auprc"][0])


def test_intervals_hold_the_chance_of_training() -> None:
    """With a single patient that chance alone is left: Student's t with the pooled deviation over seeds."""
    skill = {("real", 0): 0.3, ("real", 1): 0.4, ("real", 2): 0.45, ("synthetic", 0): 0.6, ("synthetic", 1): 0.8}
    members, labels, groups = runs(skill | {("mixed", 0): 0.5})
    result = compare(members, labels, np.zeros_like(groups), 10_000, 0)
    scores = np.array([item["macro_auprc"] for item in result["runs"]])
    variance = (scores[:3].var() * 3 + scores[3:5].var() * 2) / 3
    quantile = scipy.stats.t.ppf(0.975, df=3) * np.sqrt(variance)
    real, synthetic, mixed = result["cells"]
    for cell, error in ((real, 1 / 3), (synthetic, 1 / 2), (mixed, 1.0)):
        low, high = cell["interval"]["macro_auprc"]
        assert high - low == pytest.approx(2 * quantile * np.sqrt(error), rel=0.05)
        assert (high + low) / 2 == pytest.approx(cell["macro_auprc"], abs=0.05 * quantile)
    low, high = synthetic["versus"]["real"]["macro_auprc_interval"]
    assert high - low == pytest.approx(2 * quantile * np.sqrt(1 / 3 + 1 / 2), rel=0.05)
    assert result["intervals_over"] == "patients and trainings"


def test_of_one_seed_nothing_is_known_of_training() -> None:
    members, labels, groups = runs({("real", 0): 0.8, ("synthetic", 0): 1.5})
    result = compare(members, labels, np.zeros_like(groups), 100, 0)
    for cell in result["cells"]:
        assert cell["interval"]["macro_auprc"] == pytest.approx([cell["macro_auprc"]] * 2)
    assert result["intervals_over"] == "patients"


def test_subsets_and_architectures_have_their_own_chance_of_training() -> None:
    steady, labels, groups = runs({("real", 0): 1.0, ("real", 1): 1.0})
    shaky, _, _ = runs({("real", 0): 0.5, ("real", 1): 2.0})
    other = [replace(run, facts=run.facts | {"subset": "400"}) for run in shaky]
    alone, beside = (compare(found, labels, np.zeros_like(groups), 4_000, 0) for found in (steady, steady + other))
    widths = [cell["interval"]["macro_auprc"] for cell in (*alone["cells"], *beside["cells"])]
    assert widths[0] == widths[1]
    assert np.ptp(widths[2]) > 5 * np.ptp(widths[1])


def test_an_interval_of_a_score_ends_at_1() -> None:
    members, labels, groups = runs({("real", 0): 3.5, ("real", 1): 9.0})
    (cell,) = compare(members, labels, groups, 200, 0)["cells"]
    assert cell["interval"]["macro_auprc"][1] == 1.0
    assert max(bounds[1] for bounds in cell["interval"]["recall"].values()) == 1.0


def test_without_draws_there_are_no_intervals() -> None:
    members, labels, groups = runs(SKILL)
    first, second = compare(members, labels, groups, 0, 0)["cells"]
    assert "interval" not in first
    versus = second["versus"]["real"]
    assert versus["macro_auprc"] == pytest.approx(second["macro_auprc"] - first["macro_auprc"])
    assert versus["macro_auprc_interval"] == [None, None]


def test_tmed2_alone_is_scored_where_it_is_there() -> None:
    members, labels, groups = runs(SKILL)
    cell = compare(members, labels, groups, 0, 0)["cells"][0]
    assert cell["tmed2_macro_auprc"] == pytest.approx(
        np.mean([run.scores["by_source"]["tmed2"]["macro_auprc"] for run in members[:2]])
    )
