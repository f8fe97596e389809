"""Scan conversion: from beams to a sector with black corners."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image
from echosynth.phantom.shapes import Field


@dataclass(frozen=True)
class Geometry:
    """Where the sector lies in a picture, and on which grid it was scanned.

    Attributes:
        width, height: of the picture, pixels.
        apex: (x, y) of the sector's apex, pixels; y may be above the picture.
        radius: pixels down to the deepest sample.
        half_angle: half of the sector's opening, radians.
        samples, beams: the grid (depth, beam).
        aspect: width of a pixel divided by its height.
    """

    width: int
    height: int
    apex: tuple[float, float]
    radius: float
    half_angle: float
    samples: int
    beams: int
    aspect: float = 1.0

    def angles(self) -> Field:
        """(beams,) radians."""
        return np.linspace(-self.half_angle, self.half_angle, self.beams, dtype=np.float32)

    def depths(self, depth: float) -> Field:
        """(samples,) mm; the first one lies just below the probe's face."""
        return (np.arange(1, self.samples + 1, dtype=np.float32) * np.float32(depth / self.samples)).astype(np.float32)

    def pixels(self, plane: npt.NDArray[np.float64], depth: float) -> npt.NDArray[np.float64]:
        """Positions (N, 2) in mm (right of the middle beam, deep) as pixels (x, y) of a picture that is `depth` mm
        deep."""
        scale = self.radius / depth
        return np.asarray(plane * [scale / self.aspect, scale] + np.array(self.apex))


@lru_cache(maxsize=32)
def _maps(geometry: Geometry) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]:
    g = geometry
    x = (np.arange(g.width, dtype=np.float32) - g.apex[0])[None, :] * np.float32(g.aspect)
    y = (np.arange(g.height, dtype=np.float32) - g.apex[1])[:, None]
    beam = (np.arctan2(x, y) / np.float32(g.half_angle) + 1) * np.float32((g.beams - 1) / 2)
    sample = np.hypot(x, y) * np.float32(g.samples / g.radius) - 1
    outside = (np.abs(beam - (g.beams - 1) / 2) > (g.beams - 1) / 2) | (sample < 0) | (sample > g.samples - 1)
    beam[outside] = sample[outside] = -10
    return cv2.convertMaps(beam.astype(np.float32), sample.astype(np.float32), cv2.CV_16SC2)


def scan_convert(beams: Image, geometry: Geometry, nearest: bool = False) -> Image:
    """Turn a picture in beam coordinates (samples, beams) uint8 into (height, width); black outside the sector.

    Args:
        beams: the picture, or a mask with `nearest`.
        geometry: the sector; its maps are kept for the next call.
        nearest: no interpolation between samples.
    """
    flag = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return np.asarray(cv2.remap(beams, *_maps(geometry), flag, borderMode=cv2.BORDER_CONSTANT, borderValue=0), np.uint8)
