import numpy as np
import pytest

from echosynth.phantom.anatomy import (
    END_SYSTOLE,
    Anatomy,
    aortic_opening,
    contraction,
    draw_anatomy,
    heart_at,
    mitral_opening,
    ventricle_volume,
)


@pytest.fixture
def patient() -> Anatomy:
    return draw_anatomy(np.random.default_rng(3), 1.0)


def test_ejection_fraction_is_the_patients(patient: Anatomy) -> None:
    largest, smallest = ventricle_volume(patient, 0.0), ventricle_volume(patient, END_SYSTOLE)
    assert (largest - smallest) / largest == pytest.approx(patient.ejection, abs=1e-6)


def test_volume_in_closed_form_agrees_with_counting_voxels(patient: Anatomy) -> None:
    heart = heart_at(patient, 0.2)
    axis = np.arange(-50, 50, 1.0, dtype=np.float32) + 0.5
    grid = np.stack(np.meshgrid(axis, axis, np.arange(0, 120, 1.0, dtype=np.float32) + 0.5, indexing="ij"))
    inside = (heart.endocardium.distance(grid) < 0) & (grid[2] < heart.base)
    assert ventricle_volume(patient, 0.2) == pytest.approx(inside.sum() / 1000, rel=0.01)


def test_wall_keeps_its_volume_and_thickens(patient: Anatomy) -> None:
    early, late = heart_at(patient, 0.0), heart_at(patient, END_SYSTOLE)
    area = [h.base * (h.epicardium.axes[0] ** 2 - h.endocardium.axes[0] ** 2) for h in (early, late)]
    assert late.wall > 1.1 * early.wall
    assert area[1] == pytest.approx(area[0], rel=1e-6)


def test_cycle_closes_and_is_full_at_end_diastole_empty_at_end_systole() -> None:
    curve = np.array([contraction(phase) for phase in np.linspace(0, 1, 401)])
    assert curve[0] == curve[-1] == 0
    assert curve.max() == 1 and np.linspace(0, 1, 401)[curve.argmax()] == pytest.approx(END_SYSTOLE, abs=0.05)
    assert np.abs(np.diff(curve)).max() < 0.03  # no jump


def test_inflow_and_outflow_valves_are_never_open_together() -> None:
    for phase in np.linspace(0, 1, 101):
        assert min(mitral_opening(phase), aortic_opening(phase)) < 0.12
    assert mitral_opening(0.53) > 0.9 and aortic_opening(0.18) > 0.9


def test_difficulty_spreads_patients_and_none_makes_them_equal() -> None:
    easy = {draw_anatomy(np.random.default_rng(seed), 0.0) for seed in range(5)}
    lengths = [np.std([draw_anatomy(np.random.default_rng(s), d).length for s in range(100)]) for d in (0.5, 1.0)]
    assert len(easy) == 1
    assert lengths[1] > 1.7 * lengths[0]
