"""Reading frames: of a long cine by seeking and by reading every frame; in a child process and in the same one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from bench.results import Comparison, Result, compare, compared
from echosynth.config.parameters import Params
from echosynth.ingest.frames import Reading, decoded, encoded, read_record
from echosynth.media import apart
from echosynth.media.decode import Clip
from echosynth.sources.base import Record

SEED = 0
TARGET = 3.0
COST = 0.010  # seconds more that a file may take in a child process
# Grey levels: JPEG decoders round differently, and frames of speckle differ by many.
ROUNDING = 2.0
Wanted = Literal["first frame", "chosen frames"]
# Codec -> suffix.
CONTAINERS = {"MJPG": ".avi", "mp4v": ".mp4"}
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sizes:
    """Lengths and sizes of the cines, frames chosen from each, runs of which the best counts."""

    lengths: tuple[int, ...] = (200, 1000)
    shapes: tuple[tuple[int, int], ...] = ((112, 112), (600, 800))
    chosen: int = 3
    repeats: int = 3


QUICK = Sizes((20,), ((112, 112),), 1, 1)
# Name, size and frames of the files that are read in a child process.
APART = (
    ("still.png", (400, 600), 1),
    ("still.jpg", (600, 800), 1),
    ("cine.avi", (112, 112), 1),
    ("cine.avi", (112, 112), 32),
    ("cine.avi", (600, 800), 32),
    ("cine.mp4", (600, 800), 32),
)


def speckle(count: int, shape: tuple[int, int]) -> list[Frames]:
    """(H, W, 3) frames of smooth noise in a dark surround, about as hard to compress as an echo."""
    rng = np.random.default_rng(SEED)
    height, width = shape
    inside = np.zeros(shape, np.uint8)
    cv2.ellipse(inside, (width // 2, 0), (height, height), 90, -40, 40, 255, -1)
    frames = []
    for _ in range(count):
        noise = cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (0, 0), 1.5)
        frames.append(cv2.merge([cv2.bitwise_and(noise, inside)] * 3))
    return frames


def write_cine(path: Path, codec: str, count: int, shape: tuple[int, int]) -> bool:
    """Write a cine of `count` frames; False where this OpenCV cannot write the codec."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 50.0, (shape[1], shape[0]))
    if not writer.isOpened():
        return False
    distinct = speckle(16, shape)
    for index in range(count):
        writer.write(distinct[index % len(distinct)])
    writer.release()
    return path.is_file() and path.stat().st_size > 0


def read_every_frame(path: Path, wanted: int) -> Frames:
    """The straightforward way: read to the end and keep one frame, as the number of frames is known then only."""
    video, kept, index = cv2.VideoCapture(str(path)), None, 0
    while True:
        done, frame = video.read()
        if not done:
            break
        if index == wanted:
            kept = frame
        index += 1
    assert kept is not None
    return np.asarray(kept, np.uint8)


def read_one_frame(path: Path, wanted: int) -> Clip:
    """This project's way."""
    return apart.read_frame(path, choose=lambda total: wanted)


def measure_decoding(sizes: Sizes, codec: str, count: int, shape: tuple[int, int], wanted: Wanted) -> list[Result]:
    """Read the first frame, or some at random places one by one; nothing where this OpenCV cannot write the codec.

    Raises:
        AssertionError: the two ways give different frames.
    """
    rng = np.random.default_rng(SEED)
    places: Sequence[int] = [0] if wanted == "first frame" else rng.integers(1, count, sizes.chosen).tolist()
    with TemporaryDirectory(prefix="echosynth-bench-") as folder:
        path = Path(folder) / f"cine{CONTAINERS[codec]}"
        if not write_cine(path, codec, count, shape):
            return []
        for place in places:
            mine = read_one_frame(path, place).frames[0]
            other = read_every_frame(path, place)[:, :, ::-1]
            assert np.abs(mine.astype(np.int16) - other).mean() < ROUNDING, f"another frame than {place}"

        def ours() -> float:
            began = time.perf_counter()
            for place in places:
                read_one_frame(path, place)
            return (time.perf_counter() - began) / len(places)

        def theirs() -> float:
            began = time.perf_counter()
            for place in places:
                read_every_frame(path, place)
            return (time.perf_counter() - began) / len(places)

        comparison = compare(
            f"{wanted} of a cine",
            TARGET,
            ours,
            theirs,
            "OpenCV, every frame",
            f"{codec}{CONTAINERS[codec]}, {count} frames of {shape[1]} x {shape[0]}, seconds a frame",
            sizes.repeats,
        )
        return [comparison]


def measure_apart(settings: Params, sizes: Sizes, name: str, shape: tuple[int, int], frames: int) -> Comparison:
    """Read evenly spaced frames of a file to pictures in a child process, which is there already, and in this one.

    Raises:
        AssertionError: the two ways give different pictures.
    """
    with TemporaryDirectory(prefix="echosynth-bench-") as folder:
        path = Path(folder) / name
        if path.suffix in (".avi", ".mp4"):
            codec = next(codec for codec, suffix in CONTAINERS.items() if suffix == path.suffix)
            write_cine(path, codec, frames, shape)
        else:
            cv2.imwrite(str(path), speckle(1, shape)[0])
        files = 20 if sizes.repeats > 1 else 2
        record = Record(path, "A4C", "", "file")
        params = settings.ingest.model_copy(update={"frames": "spaced", "frames_per_cine": frames})

        def seconds(read: Callable[[], Reading]) -> float:
            began = time.perf_counter()
            for _ in range(files):
                read()
            return (time.perf_counter() - began) / files

        def mine() -> Reading:
            return read_record(record, frames > 1, (0, 0), params)

        def other() -> Reading:
            return encoded(*decoded(record, frames > 1, (0, 0), params, 1.0))

        assert mine() == other() and len(mine().taken) == frames
        here, there = ([seconds(way) for _ in range(sizes.repeats)] for way in (other, mine))
        setting = f"{name}, {frames} frames of {shape[1]} x {shape[0]}; the target is {COST * 1000:g} ms a file more"
        target = min(here) / (min(here) + COST)
        return compared("a file in a child process", target, there, here, "in the same process", setting)
