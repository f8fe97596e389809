"""Frames of MP4 and AVI through PyAV: against OpenCV's reader that seeks by number, and against reading every frame."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import av
import cv2
import numpy as np

from bench.decoding import SEED, speckle
from bench.results import Result, compare
from echosynth.common.options import Precision
from echosynth.config.parameters import Params
from echosynth.imagesets.prepare import prepare
from echosynth.imagesets.store import encode
from echosynth.ingest.frames import read_record
from echosynth.media.mjpeg import mjpeg_places
from echosynth.media.video import open_video
from echosynth.sources.base import Record

# A tenth slower than OpenCV's reader is what knowing the frames may cost.
AS_FAST = 0.9
GAIN = 3.0
ONE_THREAD = [cv2.CAP_PROP_N_THREADS, 1]
NEAR = 32  # frames: nearer than that, reading on was faster than seeking
Wanted = Literal["first frame", "chosen frames, one by one", "32 frames, evenly spaced", "all frames"]
# Codec of FFmpeg -> suffix and options of its encoder.
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "libx264": (".mp4", {"preset": "fast"}),
    "mpeg4": (".mp4", {"qmin": "2", "qmax": "4"}),
    "msmpeg4": (".avi", {"qmin": "2", "qmax": "4"}),
}


@dataclass(frozen=True)
class Sizes:
    """Frames and sizes of the cines; for the ingest, how many, of which sizes, and how many different ones; runs of
    which the best counts."""

    frames: int = 300
    shapes: tuple[tuple[int, int], ...] = ((112, 112), (600, 800))
    cines: int = 200
    cine_shapes: tuple[tuple[int, int], ...] = ((112, 112), (300, 400))
    distinct: int = 8
    repeats: int = 3


QUICK = Sizes(40, ((112, 112),), 4, ((112, 112),), 2, 1)


def write_cine(path: Path, codec: str, count: int, shape: tuple[int, int], first: int = 0) -> Path:
    """Write `count` frames of speckle, beginning with number `first` of 16."""
    distinct = speckle(16, shape)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=50, options=CODECS[codec][1])
        stream.height, stream.width, stream.pix_fmt = *shape, "yuv420p"
        for index in range(first, first + count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(distinct[index % 16], "bgr24")))
        container.mux(stream.encode())
    return path


def read_by_seeking(path: Path, numbers: Sequence[int]) -> Iterator[Any]:
    """The reader that this project had: OpenCV counts by seeking to the last frame, and seeks by number."""

    def opened() -> Any:
        return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, ONE_THREAD)

    def seek(video: Any, number: int) -> bool:
        return bool(video.set(cv2.CAP_PROP_POS_FRAMES, number)) and video.get(cv2.CAP_PROP_POS_FRAMES) == number

    if path.suffix == ".avi" and mjpeg_places(path):
        raise AssertionError("Motion JPEG is read by its index")
    video = opened()
    promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    if not (promised and seek(video, promised - 1) and video.grab() and not video.grab()):
        video = opened()
        while video.grab():
            pass
    video, position = opened(), 0
    for number in numbers:
        if number - position > NEAR:
            if seek(video, number):
                position = number
            else:
                video, position = opened(), 0
        while position < number and video.grab():
            position += 1
        position += 1
        yield cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB)


def read_every_frame(path: Path, wanted: int) -> Any:
    """Read to the end and keep one frame; with one thread, as an ingest has a process for each core."""
    video, kept, index = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, ONE_THREAD), None, 0
    while (read := video.read())[0]:
        kept = read[1] if index == wanted else kept
        index += 1
    return kept


def measure_reading(sizes: Sizes, codec: str, shape: tuple[int, int], wanted: Wanted) -> Result:
    """Both readers on the same regular file.

    Raises:
        AssertionError: they give different frames.
    """
    count = sizes.frames
    requests: dict[Wanted, list[Sequence[int]]] = {
        "first frame": [[0]] * 5,
        "chosen frames, one by one": [
            [number] for number in np.random.default_rng(SEED).integers(0, count, 10).tolist()
        ],
        "32 frames, evenly spaced": [range(count // 64, count, count // 32)],
        "all frames": [range(count)],
    }
    with TemporaryDirectory(prefix="echosynth-bench-") as folder:
        path = write_cine(Path(folder) / f"cine{CODECS[codec][0]}", codec, count, shape)

        def ours(numbers: Sequence[int]) -> Iterator[Any]:
            return open_video(path).read(numbers)

        def seconds(read: Callable[[Sequence[int]], Iterator[Any]]) -> float:
            began = time.perf_counter()
            for numbers in requests[wanted]:
                for _ in read(numbers):  # one at a time, as they are used
                    pass
            return (time.perf_counter() - began) / len(requests[wanted])

        for numbers in requests[wanted]:
            assert np.array_equal(list(ours(numbers)), list(read_by_seeking(path, numbers))), "other frames"
        return compare(
            f"{wanted} of a regular cine",
            AS_FAST,
            lambda: seconds(ours),
            lambda: seconds(partial(read_by_seeking, path)),
            "OpenCV, seeking",
            f"{codec}{CODECS[codec][0]}, {count} frames of {shape[1]} x {shape[0]}, seconds a request",
            sizes.repeats,
        )


def measure_ingest(params: Params, sizes: Sizes, shape: tuple[int, int]) -> Result:
    """One random frame of each of many H.264 cines, prepared and encoded as an ingest does it, in one process."""
    settings = params.ingest.model_copy(update={"frames": "random"})
    with TemporaryDirectory(prefix="echosynth-bench-") as folder:
        paths = [Path(folder) / f"{number}.mp4" for number in range(sizes.cines)]
        for number, path in enumerate(paths):
            if number < sizes.distinct:
                write_cine(path, "libx264", sizes.frames, shape, number)
            else:
                shutil.copy(paths[number % sizes.distinct], path)
        records = [Record(path, "A4C", str(path), "file") for path in paths]
        chosen = [int(np.random.default_rng((SEED, number)).integers(sizes.frames)) for number in range(sizes.cines)]

        def ours() -> float:
            began = time.perf_counter()
            for number, record in enumerate(records):
                reading = read_record(record, True, (SEED, number), settings)
                assert [taken.frame for taken in reading.taken] == [chosen[number]], reading.error
            return time.perf_counter() - began

        def theirs() -> float:
            began = time.perf_counter()
            for number, path in enumerate(paths):
                frame = read_every_frame(path, chosen[number])
                encode(prepare(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), settings.size, None, settings.resampling))
            return time.perf_counter() - began

        return compare(
            "one random frame of each cine, to an image",
            GAIN,
            ours,
            theirs,
            "OpenCV, every frame, one thread",
            f"{sizes.cines} H.264 cines of {sizes.frames} frames of {shape[1]} x {shape[0]}, seconds for all",
            sizes.repeats,
        )


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], Result | list[Result]]]:
    """All of them.

    Args:
        params: as for the pipeline.
        quick: tiny sizes, to see that it works.
        auto: for measurements of networks; no matter here.
    """
    sizes = QUICK if quick else Sizes()
    return [
        *(
            partial(measure_reading, sizes, codec, shape, wanted)
            for codec in CODECS
            for shape in sizes.shapes
            for wanted in get_args(Wanted)
        ),
        *(partial(measure_ingest, params, sizes, shape) for shape in sizes.cine_shapes),
    ]
