"""The privacy audit on clouds of points of which it is known who copied."""

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from echosynth.evaluation.copies import audit, copying_z, false_positives, nearest

RNG = np.random.default_rng(0)
TRAINING, HELD_OUT, HONEST = (RNG.normal(size=(count, 8)) for count in (300, 400, 600))
GROUPS = np.arange(400) // 2


def audited(synthetic: np.ndarray, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"quantile": 0.05, "repeats": 4, "seed": 0} | changes
    return audit(synthetic, np.arange(len(synthetic)) % 4, HELD_OUT, GROUPS, TRAINING, **settings)


def test_nearest_agrees_with_all_distances_and_a_copy_is_at_zero() -> None:
    features = np.concatenate([HONEST, 1e3 + HONEST[:5], TRAINING[:3]])
    assert nearest(features, TRAINING) == pytest.approx(cdist(features, TRAINING).min(1))
    assert (nearest(TRAINING + 1e4, TRAINING + 1e4) == 0).all()


def test_an_honest_set_has_about_the_expected_share_of_near_copies() -> None:
    found = audited(HONEST)
    assert found["near_copies"] == pytest.approx(0.05, abs=0.03)
    assert found["held_out_near_copies"] == pytest.approx(0.05, abs=0.03)
    assert abs(found["copying_z"]) < 3
    assert (found["synthetic_images"], found["held_out_images"], found["training_images"]) == (600, 400, 300)


def test_copies_are_found_also_with_a_little_noise() -> None:
    copies = TRAINING[:60] + 0.01 * RNG.normal(size=(60, 8))
    found = audited(np.concatenate([copies, HONEST[:240]]))
    assert found["near_copies"] == pytest.approx(0.2 + 0.8 * 0.05, abs=0.03)
    assert audited(TRAINING)["near_copies"] == 1
    assert audited(TRAINING)["copying_z"] < -20


def test_copies_of_one_view_show_in_its_own_share() -> None:
    synthetic = HONEST[:200].copy()
    synthetic[3::4] = TRAINING[:50]
    by_view = audited(synthetic)["near_copies_by_view"]
    assert by_view["PSAX"] == 1
    assert max(by_view[view] for view in ("A2C", "A4C", "PLAX")) < 0.2


def test_a_held_out_set_that_shares_pictures_with_the_training_set_does_not_hide_copies() -> None:
    held_out = np.concatenate([TRAINING[:40], HELD_OUT[:360]])
    found = audit(TRAINING, np.zeros(300, int), held_out, GROUPS, TRAINING, 0.05, 2, 0)
    assert found["threshold"] == 0
    assert found["near_copies"] == 1


def test_the_z_score_is_that_of_mann_whitney() -> None:
    made, real = np.round(RNG.gamma(3, size=70), 1), np.round(RNG.gamma(4, size=50), 1)
    reference = mannwhitneyu(made, real, use_continuity=False, method="asymptotic")
    wins = copying_z(made, real) * np.sqrt(70 * 50 * 121 / 12) + 70 * 50 / 2
    assert wins == pytest.approx(reference.statistic)
    assert copying_z(made, real) < 0 < copying_z(real, made)


def test_halves_are_made_of_whole_patients() -> None:
    # Each patient's images are equally far away: the threshold of one half then never fits the other by chance.
    distances = np.repeat([1.0, 2.0], 50)
    assert false_positives(distances, np.repeat([0, 1], 50), 0.1, 1, 0) == pytest.approx(0.5)
    assert false_positives(distances, np.zeros(100), 0.1, 1, 0) is None


def test_the_same_inputs_give_the_same_numbers() -> None:
    assert audited(HONEST) == audited(HONEST)
