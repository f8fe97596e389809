"""A recording: one patient seen from one hand-held view with one machine; it gives pictures at any phase."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image
from echosynth.phantom import acoustics, knobs
from echosynth.phantom.anatomy import Anatomy, contraction, draw_anatomy, heart_at
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.planes import APICAL, Probe, draw_probe
from echosynth.phantom.scan import Geometry, scan_convert
from echosynth.phantom.shapes import Field
from echosynth.phantom.styles import STYLES, Style
from echosynth.phantom.tissue import Tissue, tissue_map

SOURCES: tuple[str, ...] = ("echonet-dynamic", "echonet-lvh", "tmed2", "camus", "unity")
SIDE_LOBES = 0.06  # amplitude that side lobes take from the surroundings
HAZE_FADE = 0.5  # how fast near-field clutter fades, dB/mm
DECORRELATION = 1.3  # how far speckle turns over from end diastole to end systole, radians


@dataclass(frozen=True)
class MachineSettings:
    """The machine's knobs and the acoustic window of one recording; levels in dB, maps (D, B) in beam coordinates."""

    depth: float
    dynamic_range: float
    gain: float
    noise: float
    haze: float
    tgc: Field  # what attenuation and its compensation leave over, (D,)
    compensation: Field  # the compensation alone, which lifts the noise, (D,)
    window: Field  # shadows and dropouts


@dataclass(frozen=True)
class Recording:
    """See the module; drawn by `draw_recording`."""

    anatomy: Anatomy
    probe: Probe
    style: Style
    geometry: Geometry
    settings: MachineSettings
    scatterers: tuple[acoustics.Complex, acoustics.Complex]
    seed: tuple[int, ...]

    @cached_property
    def _grid(self) -> tuple[Field, Field, Field, Field]:
        depths, angles = self.geometry.depths(self.settings.depth), self.geometry.angles()
        kernels = acoustics.lateral_kernels(self.style.spread, depths, angles)
        return depths, angles, self.probe.points(depths, angles), kernels

    def tissue(self, phase: float) -> Tissue:
        """What the beams meet at a phase of the cycle."""
        depths, _, points, _ = self._grid
        return tissue_map(heart_at(self.anatomy, phase), points, depths, self.anatomy.cover)

    def beams(self, phase: float, number: int) -> Image:
        """Grey values (D, B) uint8 in beam coordinates at a phase of the cycle; `number` of the frame seeds the
        noise."""
        depths, _, _, kernels = self._grid
        settings, style = self.settings, self.style
        turn = DECORRELATION * contraction(phase)
        scatterers = np.float32(np.cos(turn)) * self.scatterers[0] + np.float32(np.sin(turn)) * self.scatterers[1]
        echo = acoustics.amplitude(self.tissue(phase).level + settings.window)
        haze = acoustics.amplitude(settings.haze - HAZE_FADE * depths)[:, None]
        # Side lobes smear what is bright over its neighbours, chambers included.
        lobes = np.float32(SIDE_LOBES) * cv2.blur(echo, (35, 7), borderType=cv2.BORDER_REFLECT)
        signal = acoustics.beamform((echo + haze + lobes) * scatterers, style.spread, depths, kernels)
        rng = np.random.default_rng((*self.seed, number))
        noise = acoustics.draw_scatterers(rng, signal.shape)
        signal *= acoustics.amplitude(settings.tgc)[:, None]
        signal += noise * acoustics.amplitude(settings.noise + settings.compensation)[:, None]
        grey = acoustics.compress(np.abs(signal), settings.dynamic_range, settings.gain, style.gamma)
        return np.asarray(cv2.GaussianBlur(grey, (0, 0), style.smooth), np.uint8) if style.smooth else grey

    def picture(self, phase: float, number: int) -> Image:
        """The frame as a sector, (height, width) uint8."""
        return scan_convert(self.beams(phase, number), self.geometry)

    def chamber(self, name: str, phase: float) -> Image:
        """Mask (height, width), 0 or 1, of a chamber (see `Tissue`) or of the "myocardium"."""
        tissue = self.tissue(phase)
        share = tissue.myocardium if name == "myocardium" else tissue.chambers[name]
        return scan_convert((share > 0.5).astype(np.uint8), self.geometry, nearest=True)

    def pixels(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points (N, 3) in heart coordinates as pixels (x, y) of the picture."""
        return self.geometry.pixels(self.probe.project(points), self.settings.depth)


def _slow_field(rng: knobs.Rng, shape: tuple[int, int]) -> Field:
    """Smooth random field of about unit variance: a coarse grid of normal numbers, enlarged."""
    coarse = rng.standard_normal((7, 6), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _shadows(rng: knobs.Rng, depths: Field, angles: Field, difficulty: float) -> Field:
    """Loss in dB behind ribs and lung: whole beams from some depth on."""
    loss = np.zeros((len(depths), len(angles)), np.float32)
    for _ in range(int(rng.poisson(knobs.SHADOW_RATE * difficulty))):
        # Ribs and lung come in from the sides.
        side = rng.choice([-1.0, 1.0]) * angles[-1] * (1.05 - abs(rng.normal(0, 0.4)))
        width, start, depth = rng.uniform(0.03, 0.2), rng.uniform(5, 40), rng.uniform(*knobs.SHADOW_DB)
        across = 1 / (1 + np.exp((np.abs(angles - side) - width) / 0.025))
        along = np.clip((depths - start) / 12, 0, 1)
        loss += (depth * along[:, None] * across[None, :]).astype(np.float32)
    return loss


def _settings(rng: knobs.Rng, style: Style, view: str, geometry: Geometry, difficulty: float) -> MachineSettings:
    mean = style.apical_depth if view in APICAL else style.parasternal_depth
    depth = mean * float(np.clip(1 + difficulty * knobs.DEPTH_SPREAD * rng.standard_normal(), 0.7, 1.35))
    depths, angles = geometry.depths(depth), geometry.angles()
    loss = acoustics.attenuation_db(depths, 0.5, style.frequency)
    sliders = difficulty * knobs.TGC_DB * rng.standard_normal(6)
    error = np.interp(depths, np.linspace(0, depth, 6), sliders)
    # The preset compensates a little less than the tissue takes: pictures darken with depth.
    compensation = (0.96 * loss + error).astype(np.float32)
    window = difficulty * knobs.DROPOUT_DB * _slow_field(rng, (len(depths), len(angles)))
    window -= _shadows(rng, depths, angles, difficulty)
    return MachineSettings(
        depth=depth,
        dynamic_range=float(rng.uniform(*style.dynamic_range)),
        gain=style.gain + knobs.GAIN_DB.draw(rng, difficulty),
        # The noise is stated for the deepest sample, where the compensation lifts it most.
        noise=knobs.NOISE_DB.draw(rng, difficulty) - float(compensation[-1]),
        haze=knobs.HAZE_DB.draw(rng, difficulty),
        tgc=(compensation - loss).astype(np.float32),
        compensation=compensation,
        window=np.asarray(window, np.float32),
    )


def draw_patient(params: PhantomParams, source: str, patient: int) -> Anatomy:
    """The anatomy of a source's patient number `patient` (0, 1, ...)."""
    rng = np.random.default_rng((params.seed, SOURCES.index(source), patient, 1, 0))
    return draw_anatomy(rng, params.difficulty)


def draw_recording(params: PhantomParams, source: str, patient: int, number: int, view: str) -> Recording:
    """Recording `number` of a patient; it depends on the seed and on these arguments alone.

    Args:
        params: seed and difficulty.
        source: sets the style.
        patient: number of the patient within the source.
        number: number of the recording within the patient.
        view: one of `echosynth.common.views.VIEWS`, or "other".
    """
    seed = (params.seed, SOURCES.index(source), patient, 2, number)
    rng, style = np.random.default_rng((*seed, 0)), STYLES[source]
    anatomy = draw_patient(params, source, patient)
    size = style.sizes[int(rng.integers(len(style.sizes)))]
    geometry = style.geometry(size, style.half_angles[int(rng.integers(len(style.half_angles)))])
    probe = draw_probe(rng, view, anatomy, params.difficulty)
    settings = _settings(rng, style, view, geometry, params.difficulty)
    shape = (geometry.samples, geometry.beams)
    scatterers = (acoustics.draw_scatterers(rng, shape), acoustics.draw_scatterers(rng, shape))
    return Recording(anatomy, probe, style, geometry, settings, scatterers, (*seed, 1))
