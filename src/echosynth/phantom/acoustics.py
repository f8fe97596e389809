"""From echogenicity to grey values, in beam coordinates: scatterers, point spread, attenuation, noise, compression.

Arrays are (depth samples, beams). The envelope of many unresolved scatterers is Rayleigh distributed (Burckhardt,
IEEE Trans. Sonics Ultrason. 1978; Wagner et al., ibid. 1983): fully developed speckle, with a ratio of mean to standard
deviation of 1.91.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image
from echosynth.phantom.knobs import Rng
from echosynth.phantom.shapes import Field

Complex = npt.NDArray[np.complex64]
TAPS = 6  # reach of the lateral kernel to each side, beams
NEAREST_MM = 12.0  # beams are not told apart nearer than this: the aperture itself is that wide


@dataclass(frozen=True)
class PointSpread:
    """A separable Gaussian point spread.

    Attributes:
        axial: standard deviation of the pulse's envelope along the beam, mm.
        lateral: standard deviation across the beam at the focus, mm.
        focus: depth of the focus, mm.
        rayleigh: distance from the focus at which the beam is wider by a factor of sqrt(2), mm.
    """

    axial: float
    lateral: float
    focus: float
    rayleigh: float

    def lateral_width(self, depths: Field) -> Field:
        """Standard deviation across the beam in mm at each depth: a Gaussian beam, w(r) = w0 sqrt(1 + ((r - f) /
        r0)^2)."""
        return np.asarray(self.lateral * np.sqrt(1 + ((depths - self.focus) / self.rayleigh) ** 2))


def draw_scatterers(rng: Rng, shape: tuple[int, int]) -> Complex:
    """Complex circular Gaussian reflectivities of unit power."""
    parts = rng.standard_normal((*shape, 2), dtype=np.float32) * np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)[..., 0]


def lateral_kernels(spread: PointSpread, depths: Field, angles: Field) -> Field:
    """Lateral point spread at each depth on the grid of beams.

    Returns:
        (2 TAPS + 1, D) weights; the squares at each depth sum to 1, so that speckle keeps its power.
    """
    step = float(angles[1] - angles[0])
    width = np.maximum(spread.lateral_width(depths) / (np.maximum(depths, NEAREST_MM) * step), 0.3)
    offsets = np.arange(-TAPS, TAPS + 1)[:, None]
    weights = np.exp(-0.5 * (offsets / width) ** 2)
    return np.asarray(weights / np.sqrt((weights**2).sum(axis=0)), np.float32)


def beamform(reflectivity: Complex, spread: PointSpread, depths: Field, kernels: Field) -> Complex:
    """Echo signal at baseband: reflectivity filtered by the pulse along, and by the point spread across, the beams.

    The carrier of the Gaussian-modulated pulse is left out: on scatterers of random phase it changes no envelope.

    Args:
        reflectivity: (D, B).
        spread: its axial part is used here.
        depths: (D,) mm, evenly spaced.
        kernels: from `lateral_kernels`.
    """
    sigma = max(spread.axial / float(depths[1] - depths[0]), 0.3)
    offsets = np.arange(-int(np.ceil(3 * sigma)), int(np.ceil(3 * sigma)) + 1)
    pulse = np.exp(-0.5 * (offsets / sigma) ** 2)
    pulse /= np.sqrt((pulse**2).sum())
    pairs = np.ascontiguousarray(reflectivity).view(np.float32).reshape(*reflectivity.shape, 2)
    pairs = cv2.copyMakeBorder(pairs, 0, 0, TAPS, TAPS, cv2.BORDER_REFLECT)
    pairs = cv2.sepFilter2D(pairs, -1, np.ones(1), pulse, borderType=cv2.BORDER_REFLECT)
    padded, beams = pairs.view(np.complex64)[..., 0], reflectivity.shape[1]
    signal = np.zeros(reflectivity.shape, np.complex64)
    for tap, weights in enumerate(kernels):
        signal += weights[:, None] * padded[:, tap : tap + beams]
    return signal


def attenuation_db(depths: Field, coefficient: float, frequency: float) -> Field:
    """Loss in dB on the way there and back: 2 alpha f r.

    Args:
        depths: mm.
        coefficient: alpha in dB/cm/MHz, about 0.5 in soft tissue.
        frequency: MHz.
    """
    return np.asarray(2 * coefficient * frequency * depths / 10)


def decibels(amplitude: Field) -> Field:
    """20 log10 of an amplitude; silence is -120 dB."""
    return np.asarray(20 * np.log10(np.maximum(amplitude, np.float32(1e-6))))


def amplitude(level: Field) -> Field:
    """The amplitude of a level in dB."""
    return np.asarray(np.exp(level * np.float32(np.log(10) / 20)))


def compress(envelope: Field, dynamic_range: float, gain: float, gamma: float = 1.0) -> Image:
    """Log compression: `dynamic_range` dB below full scale is black, full scale (0 dB after `gain` dB) is white.

    Args:
        envelope: amplitude, 0 or more.
        dynamic_range: dB.
        gain: dB.
        gamma: exponent of the grey curve; above 1 is darker and harder.
    """
    grey = np.clip(1 + (decibels(envelope) + gain) / dynamic_range, 0, 1)
    return np.asarray(255 * grey**gamma + 0.5).astype(np.uint8)
