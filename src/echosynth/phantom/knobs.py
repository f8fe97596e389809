"""The constants that set how much patients, recordings and pictures vary: calibrate here.

A spread is the standard deviation at `phantom.difficulty` 1; it is multiplied by the difficulty (0: everybody is the
mean patient).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True)
class Spread:
    """A normal distribution cut at `low` and `high`."""

    mean: float
    deviation: float
    low: float
    high: float

    def draw(self, rng: Rng, difficulty: float) -> float:
        """One value; the number of draws taken from `rng` does not depend on the difficulty."""
        return float(np.clip(self.mean + difficulty * self.deviation * rng.standard_normal(), self.low, self.high))


# Anatomy by patient, at end diastole. Lengths in mm. Means near the reference values of Lang et al., JASE 2015.
ANATOMY: Final[dict[str, Spread]] = {
    "length": Spread(84.0, 8.0, 64.0, 108.0),  # LV cavity, apex to mitral plane
    "radius": Spread(24.0, 3.0, 17.0, 35.0),  # LV cavity, half the short axis
    "wall": Spread(9.5, 1.8, 6.0, 16.0),  # LV wall
    "ejection": Spread(0.58, 0.12, 0.15, 0.78),  # ejection fraction
    "shortening": Spread(0.15, 0.03, 0.05, 0.22),  # share of the long axis that shortens
    "left_atrium": Spread(1.0, 0.14, 0.7, 1.5),  # scale
    "right_ventricle": Spread(1.0, 0.12, 0.75, 1.4),
    "right_atrium": Spread(1.0, 0.13, 0.7, 1.45),
    "aorta": Spread(12.5, 1.5, 9.0, 18.0),  # radius of the root
    "septum": Spread(160.0, 8.0, 135.0, 180.0),  # direction of the RV around the long axis, degrees
    "axis": Spread(10.0, 9.0, -20.0, 40.0),  # how far the long axis dips from the horizontal in the chest, degrees
    "cover": Spread(14.0, 4.0, 6.0, 28.0),  # chest wall between probe and heart
}


@dataclass(frozen=True)
class ProbeError:
    """Standard deviations of how far a hand misses the ideal plane."""

    rotation: float  # about the beam, degrees
    tilt: float  # out of the plane, degrees
    rock: float  # within the plane, degrees
    shift: float  # along each axis of the plane, mm
    slide: float  # out of the plane, mm


PROBE: Final[dict[str, ProbeError]] = {
    "A2C": ProbeError(rotation=14.0, tilt=5.5, rock=8.0, shift=7.0, slide=5.0),
    "A4C": ProbeError(rotation=14.0, tilt=5.5, rock=8.0, shift=7.0, slide=5.0),
    "PLAX": ProbeError(rotation=12.0, tilt=6.0, rock=8.0, shift=10.0, slide=5.0),
    "PSAX": ProbeError(rotation=16.0, tilt=10.0, rock=8.0, shift=8.0, slide=7.0),
    "other": ProbeError(rotation=25.0, tilt=12.0, rock=10.0, shift=10.0, slide=10.0),
}

# The acoustic window, by recording. Decibels unless said otherwise.
DROPOUT_DB: Final = 7.0  # standard deviation of slow changes of brightness over the picture
SHADOW_RATE: Final = 1.3  # mean number of shadows (ribs, lung)
SHADOW_DB: Final = (8.0, 30.0)
NOISE_DB: Final = Spread(-54.0, 6.0, -75.0, -36.0)  # electronic noise in front of the TGC
HAZE_DB: Final = Spread(-30.0, 5.0, -48.0, -16.0)  # near-field clutter at the probe
GAIN_DB: Final = Spread(0.0, 4.0, -11.0, 11.0)  # gain of the recording, on top of the source's
TGC_DB: Final = 3.0  # standard deviation of the TGC's error at each of its sliders
DEPTH_SPREAD: Final = 0.12  # relative standard deviation of the depth setting
