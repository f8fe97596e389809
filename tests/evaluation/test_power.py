"""What a comparison could have shown, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t

from echosynth.evaluation.comparison import ScoredClassifier, mean_draws
from echosynth.evaluation.power import (
    Chance,
    both_needed,
    chances,
    detectable,
    patients_needed,
    power_table,
    seeds_needed,
    with_patients,
)
from echosynth.evaluation.scores import evaluate

Z = norm.ppf(0.975) + norm.ppf(0.8)


def normal(deviation: float, patients: int, count: int = 3000) -> np.ndarray:
    """Draws of the mean of so many normal differences; quantiles of the normal distribution, so that none is by
    chance."""
    return norm.ppf((np.arange(count) + 0.5) / count) * deviation / np.sqrt(patients)


PATIENTS_ALONE = Chance(normal(0.3, 100), 100, variance=0.0, arms=0, seeds=1)
SEEDS_ALONE = Chance(np.zeros(10), 100, variance=0.01**2, arms=5000, seeds=3)  # so many arms: the variance is known


@pytest.mark.parametrize("patients", [25, 100, 400])
def test_normal_differences_of_known_variance_have_a_closed_form(patients: int) -> None:
    assert detectable(with_patients(PATIENTS_ALONE, patients)) == pytest.approx(Z * 0.3 / np.sqrt(patients), rel=0.06)


def test_seeds_of_known_variance_have_a_closed_form() -> None:
    assert detectable(SEEDS_ALONE) == pytest.approx(Z * 0.01 * np.sqrt(2 / 3), rel=0.06)


def test_a_variance_of_few_seeds_makes_the_difference_larger_as_student_says() -> None:
    few = replace(SEEDS_ALONE, arms=2, seeds=2)  # 2 degrees of freedom
    rng, deviation = np.random.default_rng(3), 0.01
    estimate = deviation * np.sqrt(rng.chisquare(2, 40_000) / 2)
    reach = t.ppf(0.975, 2) * estimate - deviation * rng.normal(size=40_000)
    assert detectable(few) == pytest.approx(np.quantile(reach, 0.8), rel=0.06)
    assert detectable(few) > 1.5 * Z * deviation


def test_more_power_needs_a_larger_difference() -> None:
    larger = detectable(PATIENTS_ALONE, power=0.9) / detectable(PATIENTS_ALONE)
    assert larger == pytest.approx((norm.ppf(0.975) + norm.ppf(0.9)) / Z, rel=0.06)


def test_how_many_are_needed() -> None:
    assert patients_needed(PATIENTS_ALONE, 0.05) == pytest.approx((Z * 0.3 / 0.05) ** 2, rel=0.12)
    assert seeds_needed(SEEDS_ALONE, 0.005) == pytest.approx(2 * (Z * 0.01 / 0.005) ** 2, rel=0.12)


def test_what_is_out_of_reach_is_none() -> None:
    assert patients_needed(SEEDS_ALONE, 0.001) is None, "no number of patients makes trainings vary less"
    assert seeds_needed(replace(PATIENTS_ALONE, arms=4, variance=1e-8), 0.001) is None
    assert seeds_needed(PATIENTS_ALONE, 0.5) is None, "nothing is known of the seeds"
    patients, seeds = both_needed(replace(PATIENTS_ALONE, arms=4, variance=0.03**2, seeds=2), 0.02)
    assert patients and seeds
    assert patients == 50 * seeds


def test_draws_without_a_value_are_left_out_and_none_at_all_is_absent() -> None:
    some = replace(PATIENTS_ALONE, draws=np.append(PATIENTS_ALONE.draws, np.full(500, np.nan)))
    assert detectable(some) == pytest.approx(detectable(PATIENTS_ALONE), rel=0.06)
    nothing = replace(PATIENTS_ALONE, draws=np.full(5, np.nan))
    table = power_table(nothing, None, 0.01, [1, 2], [2])
    assert table["smallest"] is None
    assert table["for_wanted"] == {"difference": 0.01, "patients": None, "seeds": None, "both": None}
    assert table["for_observed"] is None


def scored(arm: str, seed: int, strength: float, patients: int = 60) -> tuple[ScoredClassifier, np.ndarray, np.ndarray]:
    rng = np.random.default_rng((seed, arm == "real"))
    labels, groups = np.tile(np.arange(4), patients), np.repeat(np.arange(patients), 4)
    logits = strength * np.eye(4)[labels] + rng.normal(size=(len(labels), 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    facts = {"arm": arm, "subset": "100", "architecture": "resnet18", "seed": seed}
    scores = evaluate(probabilities, labels, groups, np.full(len(labels), "tmed2"))
    return ScoredClassifier(facts, scores, probabilities), labels, groups


def test_chances_are_those_of_the_stored_predictions() -> None:
    arms = {arm: [scored(arm, seed, 1.0)[0] for seed in (0, 1)] for arm in ("real", "synthetic", "mixed")}
    _, labels, groups = scored("real", 0, 1.0)
    found = chances(arms, labels, groups, 300, 0)
    assert len(found) == 2 * 3
    chance = found["macro_auprc", "real", "synthetic"]
    assert (chance.patients, chance.arms, chance.seeds) == (60, 3, 2)
    single = [[run.scores["macro_auprc"] for run in runs] for runs in arms.values()]
    assert chance.variance == pytest.approx(np.mean(np.var(single, axis=1, ddof=1)))
    alone = chances({arm: runs[:1] for arm, runs in arms.items()}, labels, groups, 50, 0)
    assert alone["macro_auprc", "real", "synthetic"].arms == 0


def test_the_spread_over_patients_falls_with_the_root_of_their_number() -> None:
    """What `with_patients` assumes, against draws of four times as many patients."""
    (first, labels, groups), (second, _, _) = scored("real", 0, 1.0), scored("synthetic", 0, 1.5)
    rng, spreads = np.random.default_rng(0), []
    for patients in (60, 240):
        weights = rng.multinomial(patients, np.full(60, 1 / 60), size=500)[:, groups].astype(np.float64)
        draws = [mean_draws([run], labels, weights)["macro_auprc"] for run in (first, second)]
        spreads.append(np.std(draws[0] - draws[1]))
    assert spreads[0] / spreads[1] == pytest.approx(2, rel=0.15)


def test_the_table_has_a_row_for_each_number_of_patients_and_seeds() -> None:
    chance = Chance(normal(0.3, 100), 100, variance=0.01**2, arms=4, seeds=2)
    table = power_table(chance, -0.1, 0.05, [0.5, 1, 2], [2, 5])
    assert [(row["patients"], row["seeds"]) for row in table["grid"]] == [
        (50, 2), (50, 5), (100, 2), (100, 5), (200, 2), (200, 5)
    ]  # fmt: skip
    assert table["over"] == "patients and trainings"
    assert table["smallest"] == table["grid"][2]["smallest"]
    assert table["grid"][0]["smallest"] > table["grid"][5]["smallest"]
    assert table["for_observed"]["difference"] == 0.1
    assert table["for_observed"]["patients"] < table["for_wanted"]["patients"]
    assert power_table(chance, None, 0.05, [1], [2])["for_observed"] is None
