"""How the pictures of each source look: machines, presets and what else is on the screen."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from echosynth.phantom.acoustics import PointSpread
from echosynth.phantom.scan import Geometry


@dataclass(frozen=True)
class Style:
    """A source's machines and presets.

    Attributes:
        sizes: native sizes (width, height) in pixels; one is drawn for each recording.
        half_angles: half openings of the sector in degrees.
        apical_depth, parasternal_depth: mean depth setting, mm.
        spread: point spread.
        frequency: transmit frequency, MHz.
        dynamic_range: dB shown (lowest, highest).
        gain: mean gain, dB.
        gamma: grey curve.
        top: y of the sector's apex as a share of the height.
        reach: depth of the sector as a share of the height.
        aspect: width of a pixel divided by its height.
        smooth: width of the machine's speckle reduction, samples (0: none).
        grid: depth samples and beams.
        frames: fewest and most frames of a cine.
        quality: of the JPEG in a cine, 1 to 100.
        overlays: of "ticks", "ecg", "text".
    """

    sizes: tuple[tuple[int, int], ...]
    half_angles: tuple[float, ...]
    apical_depth: float
    parasternal_depth: float
    spread: PointSpread
    frequency: float
    dynamic_range: tuple[float, float]
    gain: float
    gamma: float
    top: float
    reach: float
    aspect: float = 1.0
    smooth: float = 0.0
    grid: tuple[int, int] = (176, 88)
    frames: tuple[int, int] = (1, 1)
    quality: int = 90
    overlays: frozenset[str] = field(default_factory=frozenset)

    def geometry(self, size: tuple[int, int], half_angle: float) -> Geometry:
        """The sector of one preset; `half_angle` in degrees."""
        width, height = size
        return Geometry(
            width=width,
            height=height,
            apex=(width / 2 - 0.5, self.top * height),
            radius=self.reach * height,
            half_angle=float(np.deg2rad(half_angle)),
            samples=self.grid[0],
            beams=self.grid[1],
            aspect=self.aspect,
        )


STYLES: Final[dict[str, Style]] = {
    "echonet-dynamic": Style(
        sizes=((112, 112),),
        half_angles=(39.0, 42.0, 45.0),
        apical_depth=172.0,
        parasternal_depth=160.0,
        spread=PointSpread(axial=0.8, lateral=1.3, focus=70.0, rayleigh=45.0),
        frequency=2.2,
        dynamic_range=(48.0, 58.0),
        gain=0.0,
        gamma=1.15,
        top=0.0,
        reach=0.97,
        frames=(10, 12),
        quality=20,
        overlays=frozenset({"ticks"}),
    ),
    "echonet-lvh": Style(
        sizes=((1024, 768), (800, 600), (800, 600)),
        half_angles=(37.0, 41.0, 45.0),
        apical_depth=165.0,
        parasternal_depth=158.0,
        spread=PointSpread(axial=0.7, lateral=1.1, focus=65.0, rayleigh=45.0),
        frequency=2.5,
        dynamic_range=(50.0, 60.0),
        gain=1.0,
        gamma=1.1,
        top=0.08,
        reach=0.8,
        frames=(4, 4),
        quality=10,
        overlays=frozenset({"ticks", "text"}),
    ),
    "tmed2": Style(
        sizes=((112, 84), (112, 92), (104, 112), (112, 112)),
        half_angles=(37.0, 41.0, 45.0),
        apical_depth=170.0,
        parasternal_depth=158.0,
        spread=PointSpread(axial=0.8, lateral=1.2, focus=70.0, rayleigh=45.0),
        frequency=2.3,
        dynamic_range=(46.0, 60.0),
        gain=0.0,
        gamma=1.1,
        top=0.05,
        reach=0.9,
        overlays=frozenset({"ticks", "ecg"}),
    ),
    "camus": Style(
        sizes=((180, 288),),
        half_angles=(36.0, 38.0),
        apical_depth=160.0,
        parasternal_depth=150.0,
        spread=PointSpread(axial=0.5, lateral=0.8, focus=80.0, rayleigh=60.0),
        frequency=3.4,
        dynamic_range=(60.0, 70.0),
        gain=6.0,
        gamma=0.95,
        top=0.01,
        reach=0.97,
        aspect=2.0,
        smooth=0.7,
        grid=(224, 112),
        frames=(5, 6),
    ),
    "unity": Style(
        sizes=((636, 422), (636, 434), (636, 422), (800, 600)),
        half_angles=(34.0, 44.0),
        apical_depth=185.0,
        parasternal_depth=165.0,
        spread=PointSpread(axial=0.9, lateral=1.5, focus=60.0, rayleigh=38.0),
        frequency=1.9,
        dynamic_range=(42.0, 52.0),
        gain=3.0,
        gamma=1.3,
        top=0.1,
        reach=0.8,
        overlays=frozenset({"ticks", "ecg", "text"}),
    ),
}
