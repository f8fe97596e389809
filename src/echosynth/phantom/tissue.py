"""What the beams meet: the echogenicity of the heart and its surroundings on the points of one picture."""

from dataclasses import dataclass

import numpy as np

from echosynth.phantom.anatomy import Heart
from echosynth.phantom.shapes import Field

# Backscatter levels in dB, 0 being white at gain 0.
BLOOD, MYOCARDIUM, THIN_WALL, VALVE, PERICARDIUM, OUTSIDE, CHEST = -58.0, -27.0, -21.0, -17.0, -11.0, -29.0, -19.0
FADE_PER_MM = 0.45  # how fast the surroundings (lung, fat) darken away from the heart, dB/mm
ATRIAL_WALL, RIGHT_WALL, AORTIC_WALL = 3.0, 4.0, 2.2  # mm
ROOT_LENGTH = 48.0  # of the ascending aorta that is modelled, mm
SPECULAR_FLOOR = 0.22  # amplitude that is left of a wall parallel to the beam


@dataclass(frozen=True)
class Tissue:
    """Maps (D, B) in beam coordinates.

    Attributes:
        level: backscatter in dB.
        chambers: LV, LA, RV, RA and aorta -> share of each sample that is this cavity (0 to 1).
        myocardium: share that is LV wall (0 to 1).
    """

    level: Field
    chambers: dict[str, Field]
    myocardium: Field


def _soft(distance: Field, width: float = 1.2) -> Field:
    """Share of a sample inside a surface: 1 well inside, 0 well outside, a ramp of `width` mm between."""
    return np.asarray(np.clip(np.float32(0.5) - distance / np.float32(width), 0, 1))


def _paint(level: Field, share: Field, value: Field | float) -> None:
    level += share * (value - level)


def _specular(distance: Field, spacing: float) -> Field:
    """Loss in dB of a surface that the beam meets at an angle: |cos| is the change of its distance along the beam."""
    slope = np.abs(np.gradient(distance, np.float32(spacing), axis=0))
    return 20 * np.log10(SPECULAR_FLOOR + (1 - SPECULAR_FLOOR) * np.clip(slope, 0, 1)).astype(np.float32)


def tissue_map(heart: Heart, points: Field, depths: Field, cover: float) -> Tissue:
    """Echogenicity of a heart on the points of a picture.

    Args:
        heart: the heart at one moment.
        points: (3, D, B) heart coordinates in mm, from `Probe.points`.
        depths: (D,) distances from the probe, mm, evenly spaced.
        cover: thickness of the chest wall in mm.
    """
    z, spacing = points[2], float(depths[1] - depths[0])
    below, above = z - np.float32(heart.base), np.float32(heart.base) - z
    below_t = z - np.float32(heart.tricuspid)
    endo = np.maximum(heart.endocardium.distance(points), below)
    epi = np.maximum(heart.epicardium.distance(points), below - 3)
    rv_body = np.maximum(heart.right_ventricle.distance(points), below_t)
    right_ventricle = np.minimum(rv_body, heart.outflow_tract.distance(points))
    right_atrium = np.maximum(heart.right_atrium.distance(points), -below_t)
    left_atrium = np.maximum(heart.left_atrium.distance(points), above)
    aorta = np.maximum(heart.aorta.distance(points), np.maximum(above, below - ROOT_LENGTH))
    outer = np.minimum(
        np.minimum(epi, right_ventricle - RIGHT_WALL), np.minimum(right_atrium, left_atrium) - ATRIAL_WALL
    )

    level = np.maximum(OUTSIDE - FADE_PER_MM * np.maximum(outer, 0), -70).astype(np.float32)
    descending = heart.descending_aorta.distance(points)
    _paint(level, _soft(descending - AORTIC_WALL), OUTSIDE)
    _paint(level, _soft(descending), BLOOD)
    bright = np.exp(-(((outer - 1.0) / 1.3) ** 2))
    _paint(level, bright, PERICARDIUM + 1.3 * _specular(outer, spacing))
    thin = THIN_WALL + 0.7 * _specular(outer, spacing)
    _paint(level, _soft(right_ventricle - RIGHT_WALL), thin)
    _paint(level, _soft(right_atrium - ATRIAL_WALL), thin)
    rv, ra = _soft(right_ventricle), _soft(right_atrium)
    _paint(level, rv, BLOOD)
    _paint(level, ra, BLOOD)
    muscle = _soft(epi)
    _paint(level, muscle, MYOCARDIUM + _specular(epi, spacing))
    _paint(level, _soft(left_atrium - ATRIAL_WALL), THIN_WALL + 0.7 * _specular(left_atrium, spacing))
    la = _soft(left_atrium)
    _paint(level, la, BLOOD)
    _paint(level, _soft(aorta - AORTIC_WALL), THIN_WALL + 0.5 * _specular(aorta, spacing))
    ao = _soft(aorta)
    _paint(level, ao, BLOOD)
    lv = _soft(endo)
    _paint(level, lv, BLOOD)
    for muscle_head in heart.papillary:
        _paint(level, _soft(muscle_head.distance(points)) * lv, MYOCARDIUM)
    inside = np.maximum(np.maximum(lv, la), np.maximum(np.maximum(rv, ra), ao))
    for valve in heart.valves:
        _paint(level, _soft(valve.distance(points)) * inside, VALVE)
    layers = CHEST + 4 * np.sin(depths * np.float32(2.1)) + 3 * np.sin(depths * np.float32(0.7))
    _paint(level, _soft(depths - 0.7 * cover, 4.0)[:, None], layers[:, None])
    chambers = {
        "LV": lv,
        "LA": la * (1 - ao),
        "RV": rv * (1 - muscle) * (1 - ao),
        "RA": ra * (1 - la),
        "aorta": ao,
    }
    return Tissue(level, chambers, muscle * (1 - lv))
