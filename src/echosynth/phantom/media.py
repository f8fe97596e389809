"""Writing pictures and cines, and doing so in several processes."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
from joblib import Parallel, cpu_count, delayed

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress

T = TypeVar("T")
R = TypeVar("R")


def write_avi(path: Path, frames: Sequence[Image], quality: int, fps: float = 50.0) -> None:
    """Write a cine as Motion JPEG with OpenCV's own encoder, whose bytes depend on the frames alone.

    Args:
        frames: (H, W, 3) blue, green, red.
        quality: of the JPEG, 1 to 100.
        fps: frames per second of the container.
    """
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, code, fps, (width, height), True)
    if not writer.isOpened():
        raise EchosynthError(
            f"cannot write {path}: this OpenCV has no Motion JPEG encoder; install opencv-python-headless"
        )
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, quality)
    for frame in frames:
        writer.write(frame)
    writer.release()
    with path.open("rb") as stream:  # OpenCV says nothing of a full disk: the length in the header is written last
        if int.from_bytes(stream.read(8)[4:], "little") + 8 != path.stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def write_png(path: Path, picture: Image) -> None:
    """Write (H, W) grey or (H, W, 3) blue, green, red as PNG."""
    path.write_bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 5])[1].tobytes())


def _alone(task: Callable[[T], R], item: T) -> R:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the processes share the cores already
    try:
        return task(item)
    finally:
        cv2.setNumThreads(before)


def in_parallel(task: Callable[[T], R], items: Sequence[T], workers: int, what: str, unit: str) -> Iterator[R]:
    """Yield task(item) in the order of `items`, computed by `workers` processes (0: one for each core)."""
    pool = Parallel(n_jobs=min(workers or cpu_count(), max(1, len(items))), return_as="generator")
    yield from progress(pool(delayed(_alone)(task, item) for item in items), len(items), what, unit)
