"""Geometry: each ideal plane cuts the chambers that it is named for."""

import numpy as np
import pytest

from echosynth.common.views import VIEWS
from echosynth.phantom.anatomy import END_SYSTOLE, Anatomy, draw_anatomy, heart_at
from echosynth.phantom.planes import draw_probe, ideal_probe
from echosynth.phantom.tissue import tissue_map

DEPTHS = np.arange(1, 361, dtype=np.float32) / 2
ANGLES = np.linspace(-0.8, 0.8, 240, dtype=np.float32)
STEP = 0.5 * float(ANGLES[1] - ANGLES[0])


@pytest.fixture(scope="module")
def patient() -> Anatomy:
    return draw_anatomy(np.random.default_rng(0), 0.0)


def _areas(patient: Anatomy, view: str, phase: float) -> dict[str, float]:
    """Area of each chamber in the picture in mm^2."""
    points = ideal_probe(view, patient).points(DEPTHS, ANGLES)
    tissue = tissue_map(heart_at(patient, phase), points, DEPTHS, patient.cover)
    return {name: float((share * DEPTHS[:, None]).sum()) * STEP for name, share in tissue.chambers.items()}


@pytest.mark.parametrize(
    ("view", "there", "absent"),
    [
        ("A4C", {"LV", "LA", "RV", "RA"}, {"aorta"}),
        ("A2C", {"LV", "LA"}, {"RV", "RA", "aorta"}),
        ("PLAX", {"LV", "LA", "RV", "aorta"}, {"RA"}),
        ("PSAX", {"LV", "RV"}, {"LA", "RA", "aorta"}),
    ],
)
def test_a_plane_cuts_its_chambers(patient: Anatomy, view: str, there: set[str], absent: set[str]) -> None:
    areas = _areas(patient, view, 0.0)
    assert {name for name, area in areas.items() if area > 200} == there
    assert all(areas[name] < 60 for name in absent)


def test_ventricle_is_round_in_psax_and_long_in_a4c(patient: Anatomy) -> None:
    ratios = {}
    for view in ("PSAX", "A4C"):
        probe = ideal_probe(view, patient)
        points = probe.points(DEPTHS, ANGLES)
        share = tissue_map(heart_at(patient, 0.0), points, DEPTHS, patient.cover).chambers["LV"]
        plane = probe.project(points[:, share > 0.5].T.astype(float))
        spread = np.linalg.eigvalsh(np.cov(plane.T))
        ratios[view] = float(np.sqrt(spread[1] / spread[0]))
    assert ratios["PSAX"] < 1.15
    assert ratios["A4C"] > 1.5


def test_chamber_shrinks_by_what_the_ejection_fraction_says(patient: Anatomy) -> None:
    heart = [heart_at(patient, phase) for phase in (0.0, END_SYSTOLE)]
    long_axis = _areas(patient, "A4C", END_SYSTOLE)["LV"] / _areas(patient, "A4C", 0.0)["LV"]
    # An area through the long axis goes with length times radius, the volume with length times radius squared.
    length, volume = heart[1].base / heart[0].base, 1 - patient.ejection
    assert long_axis == pytest.approx(np.sqrt(volume * length), rel=0.04)


def test_long_axis_lies_in_the_plax_picture_with_the_base_on_the_right(patient: Anatomy) -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, patient.length]])
    (apex, _), (base, _) = ideal_probe("PLAX", patient).project(points)
    assert base - apex == pytest.approx(patient.length)


def test_septum_is_left_and_right_ventricle_left_of_it_in_a4c(patient: Anatomy) -> None:
    probe = ideal_probe("A4C", patient)
    heart = heart_at(patient, 0.0)
    centres = np.array([heart.right_ventricle.centre, heart.endocardium.centre])
    right, left = probe.project(centres)[:, 0]
    assert right < left


def test_probe_stays_orthonormal_and_misses_more_with_difficulty(patient: Anatomy) -> None:
    for view in VIEWS:
        missed = []
        for difficulty in (0.0, 0.5, 1.0):
            angles = []
            for seed in range(30):
                probe = draw_probe(np.random.default_rng(seed), view, patient, difficulty)
                frame = np.stack([probe.axial, probe.lateral])
                assert frame @ frame.T == pytest.approx(np.eye(2), abs=1e-9)
                angles.append(
                    np.arccos(
                        np.clip(probe.lateral @ draw_probe(np.random.default_rng(0), view, patient, 0.0).lateral, -1, 1)
                    )
                )
            missed.append(np.mean(angles))
        assert missed[0] < 1e-6 < missed[1] < missed[2]
