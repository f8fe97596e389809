"""What a machine draws besides the sector, and the recordings that are no plain grey picture."""

from collections.abc import Sequence

import cv2
import numpy as np

from echosynth.common.arrays import Image
from echosynth.phantom.anatomy import contraction
from echosynth.phantom.knobs import Rng
from echosynth.phantom.plan import Kind
from echosynth.phantom.recordings import Recording
from echosynth.phantom.scan import scan_convert

TINTS = ((0.86, 0.95, 1.0), (0.92, 0.97, 1.0), (1.0, 0.97, 0.92))  # blue, green, red: sepia twice, then blue
ODD_MAPS = (cv2.COLORMAP_JET, cv2.COLORMAP_OCEAN, cv2.COLORMAP_HOT)
GREEN = (90, 220, 90)
COLOUR_ON_THE_RIGHT = 2 / 3  # share of split screens


def overlaid(picture: Image, recording: Recording, phase: float, colour: bool = False) -> Image:
    """Draw the source's overlays: depth ticks, ECG trace up to the present phase, and a line of text.

    Args:
        picture: (H, W) grey, or (H, W, 3) blue, green, red.
        recording: sets what is drawn.
        phase: of the cycle.
        colour: draw the ECG in green; needs three channels.
    """
    wanted, (height, width) = recording.style.overlays, picture.shape[:2]
    unit = max(1, height // 300)
    grey = (150, 150, 150)
    if "ticks" in wanted:
        scale = recording.geometry.radius / recording.settings.depth
        for depth in np.arange(10.0, recording.settings.depth, 10.0 if height > 200 else 50.0):
            y = int(recording.geometry.apex[1] + depth * scale)
            long = 3 if depth % 50 == 0 else 1
            cv2.line(picture, (width - 1 - unit * long, y), (width - 1, y), grey, unit)
    if "ecg" in wanted:
        time = np.linspace(0, 1, width // 2)
        beat = (time * 2.2) % 1.0
        trace = 0.12 * np.exp(-(((beat - 0.1) / 0.04) ** 2)) + np.exp(-(((beat - 0.25) / 0.015) ** 2))
        trace += 0.25 * np.exp(-(((beat - 0.55) / 0.06) ** 2))
        shown = max(8, int(len(time) * (0.4 + 0.6 * (phase % 1.0))))
        line = np.stack([np.arange(shown) + width // 8, height - 3 - 0.07 * height * trace[:shown]], axis=1)
        cv2.polylines(picture, [line.astype(np.int32)], False, GREEN if colour else grey, unit)
    if "text" in wanted:
        depth, gain = recording.settings.depth / 10, recording.settings.gain
        text = f"{depth:.0f} cm  {recording.style.frequency:.1f} MHz  G{gain:+.0f}"
        place = (width // 50, height // 18)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, height / 1100, grey, unit)
    return picture


def flow_generator(recording: Recording) -> Rng:
    """A fresh generator for each frame of a cine, so that the jets keep their place through the cycle."""
    return np.random.default_rng((*recording.seed, 10_001))


def doppler(recording: Recording, phase: float, number: int, rng: Rng) -> Image:
    """A frame (H, W, 3) with colour Doppler: red towards the probe, blue away from it, in a box of beams and depths."""
    grey = recording.beams(phase, number)
    samples, beams = grey.shape
    blood = np.max(np.stack(list(recording.tissue(phase).chambers.values())), axis=0)
    flow = cv2.resize(rng.standard_normal((6, 5)).astype(np.float32), (beams, samples), interpolation=cv2.INTER_CUBIC)
    flow = 1.6 * flow * blood * (0.6 + 0.4 * np.cos(2 * np.pi * phase))
    box = np.zeros_like(flow)
    box[int(0.25 * samples) : int(0.85 * samples), int(0.2 * beams) : int(0.8 * beams)] = 1
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    seen = (np.abs(flow) > 0.25) & (box > 0)
    speed = np.clip(90 + 165 * np.abs(flow), 0, 255).astype(np.uint8)
    zero = np.zeros_like(speed)
    red, blue = np.stack([zero, speed // 3, speed], axis=2), np.stack([speed, speed // 3, zero], axis=2)
    picture[seen] = np.where(flow[:, :, None] > 0, red, blue)[seen]
    return scan_convert(picture, recording.geometry)


def split_screen(recording: Recording, phase: float, number: int, later: int) -> Image:
    """A frame (H, W, 3) with two pictures of one recording, the right one at another phase.

    About two recordings of three show colour Doppler on the right, as machines do to compare; the others are all grey,
    so that colour alone cannot find them.

    Args:
        recording: what is pictured.
        phase: of the cycle, on the left.
        number: of the frame on the left, which seeds its noise.
        later: number of the frame on the right.
    """
    left = np.repeat(overlaid(recording.picture(phase, number), recording, phase)[:, :, None], 3, axis=2)
    if np.random.default_rng((*recording.seed, 10_003)).random() < COLOUR_ON_THE_RIGHT:
        return side_by_side(left, doppler(recording, phase + 0.4, later, flow_generator(recording)))
    return side_by_side(left, np.repeat(recording.picture(phase + 0.4, later)[:, :, None], 3, axis=2))


def side_by_side(left: Image, right: Image) -> Image:
    """Two pictures at half size beside each other on a black screen of the same size."""
    height, width = left.shape[:2]
    screen = np.zeros_like(left)
    half = (width // 2, height // 2)
    top = height // 4
    screen[top : top + half[1], : half[0]] = cv2.resize(left, half, interpolation=cv2.INTER_AREA)
    screen[top : top + half[1], half[0] : 2 * half[0]] = cv2.resize(right, half, interpolation=cv2.INTER_AREA)
    return screen


def frames(recording: Recording, phases: Sequence[float], kind: Kind) -> list[Image]:
    """The frames (H, W, 3), blue, green, red, of a video recording of any kind."""
    shown = []
    for number, phase in enumerate(phases):
        if kind == "doppler":
            flow = flow_generator(recording)
            shown.append(overlaid(doppler(recording, phase, number, flow), recording, phase))
            continue
        if kind == "split":
            shown.append(split_screen(recording, phase, number, number + len(phases)))
            continue
        picture = overlaid(recording.picture(phase, number), recording, phase)
        colours = np.repeat(picture[:, :, None], 3, axis=2)
        choice = sum(recording.seed) % 3
        if kind == "odd":
            colours = np.asarray(cv2.applyColorMap(picture, ODD_MAPS[choice]), np.uint8)
            colours[picture == 0] = 0
        elif kind == "tinted":
            colours = (colours * np.array(TINTS[choice]) + 0.5).astype(np.uint8)
        shown.append(colours)
    return shown


def cine_phases(rng: Rng, fewest: int, most: int) -> list[float]:
    """Phases of the frames of a short cine: a little more than one cycle from a random start."""
    count = int(rng.integers(fewest, most + 1))
    return [float(phase) for phase in (rng.random() + np.arange(count) / (count - 1.5)) % 1.0]


def extremes(phases: Sequence[float]) -> tuple[int, int]:
    """Numbers of the frames nearest to end diastole and to end systole."""
    squeezed = [contraction(phase) for phase in phases]
    return int(np.argmin(squeezed)), int(np.argmax(squeezed))
