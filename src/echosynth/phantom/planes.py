"""Where the probe stands: the four standard planes as positions of a phased array in heart coordinates."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echosynth.phantom.anatomy import OUTFLOW, Anatomy
from echosynth.phantom.knobs import PROBE, Rng
from echosynth.phantom.shapes import Field

Vec = npt.NDArray[np.float64]
A2C_ROTATION = np.deg2rad(60.0)
APICAL = ("A2C", "A4C", "other")


@dataclass(frozen=True)
class Probe:
    """A phased array: the apex of the sector (mm) and unit vectors down the middle beam and towards the picture's
    right."""

    origin: Vec
    axial: Vec
    lateral: Vec

    def points(self, depths: Field, angles: Field) -> Field:
        """Points of the picture in beam coordinates.

        Args:
            depths: (D,) distances from the probe, mm.
            angles: (B,) beam angles, radians, from left to right.

        Returns:
            (3, D, B) heart coordinates in mm.
        """
        beams = np.cos(angles) * self.axial[:, None] + np.sin(angles) * self.lateral[:, None]
        return (self.origin[:, None, None] + depths[None, :, None] * beams[:, None, :]).astype(np.float32)

    def project(self, points: Vec) -> Vec:
        """Drop points (N, 3) onto the picture's plane: (N, 2), mm to the right of the middle beam and mm deep."""
        return np.stack([(points - self.origin) @ self.lateral, (points - self.origin) @ self.axial], axis=1)


def _turn(vector: Vec, about: Vec, degrees: float) -> Vec:
    """Rodrigues' rotation of `vector` about the unit vector `about`."""
    angle = np.deg2rad(degrees)
    cross: Vec = np.cross(about, vector)
    return np.asarray(vector * np.cos(angle) + cross * np.sin(angle) + about * (about @ vector) * (1 - np.cos(angle)))


def ideal_probe(view: str, anatomy: Anatomy, level: float = 0.65) -> Probe:
    """The probe of a textbook picture.

    Args:
        view: A2C, A4C, PLAX, PSAX, or "other" for an apical picture between the standard ones.
        anatomy: the patient.
        level: for PSAX, height of the cut as a share of the LV's length (0 apex, 1 mitral plane).

    Returns:
        A2C and A4C look from the apex along z, 60 degrees of rotation apart. PLAX and PSAX look from the anteroseptal
        side, PLAX with the long axis lying in the picture (base on the right), PSAX with the long axis at right angles
        to it.
    """
    z = np.array([0.0, 0.0, 1.0])
    front = np.array([np.cos(OUTFLOW), np.sin(OUTFLOW), 0.0])
    reach = anatomy.radius + anatomy.wall + 22 + anatomy.cover
    if view in ("A4C", "A2C"):
        turn = A2C_ROTATION if view == "A2C" else 0.0
        right = np.array([np.cos(turn), np.sin(turn), 0.0])
        probe = Probe(-(anatomy.cover + 4) * z, z, right)
        # A sonographer centres the picture on the whole heart, which in A4C lies to the left of the LV.
        return _rocked(probe, 7.0 if view == "A4C" else 0.0)
    if view == "other":
        right = np.array([np.cos(2.3), np.sin(2.3), 0.0])
        return Probe(-(anatomy.cover + 4) * z, _turn(z, right, 20.0), right)
    if view == "PLAX":
        probe = Probe(front * reach + z * 0.8 * anatomy.length, -front, z)
        return _rocked(probe, 0.0)
    across: Vec = np.cross(-front, z)
    return Probe(front * reach + z * level * anatomy.length, -front, across)


def _rocked(probe: Probe, degrees: float) -> Probe:
    """Turn the probe within its plane: the picture's middle beam moves to the left by `degrees`."""
    normal: Vec = np.cross(probe.axial, probe.lateral)
    return Probe(probe.origin, _turn(probe.axial, normal, -degrees), _turn(probe.lateral, normal, -degrees))


def draw_probe(rng: Rng, view: str, anatomy: Anatomy, difficulty: float) -> Probe:
    """A hand-held probe: the ideal one, missed by `knobs.PROBE` times the difficulty (two standard deviations at most).

    Errors of rotation blend A2C and A4C; tilt and shift foreshorten the ventricle or open the aortic root (five
    chambers).
    """
    level = float(np.clip(0.62 + 0.12 * difficulty * rng.standard_normal(), 0.3, 0.85))
    probe, error = ideal_probe(view, anatomy, level), PROBE[view]
    rotation, tilt, rock, right, slide = difficulty * np.clip(rng.standard_normal(5), -2, 2)
    normal: Vec = np.cross(probe.axial, probe.lateral)
    origin = probe.origin + error.shift * right * probe.lateral + error.slide * slide * normal
    if view in APICAL:
        # The window moves, but the aim stays near the middle of the heart.
        aim = np.array([0.0, 0.0, 1.6 * anatomy.length])
        drift = (probe.origin - origin) * 0.8 / np.linalg.norm(aim - probe.origin)
    else:
        drift = np.zeros(3)
    axial = probe.axial + drift
    axial /= np.linalg.norm(axial)
    lateral = probe.lateral - (probe.lateral @ axial) * axial
    lateral /= np.linalg.norm(lateral)
    lateral = _turn(lateral, axial, error.rotation * rotation)
    axial = _turn(axial, lateral, error.tilt * tilt)
    turned = Probe(origin, axial, lateral)
    dip = anatomy.axis if view == "PLAX" else 0.0
    return _rocked(turned, error.rock * rock - dip)
