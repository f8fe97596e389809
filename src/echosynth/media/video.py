"""Chosen frames of AVI and MP4 files without decoding the others, where the container tells where they are."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# FFmpeg writes about every torn frame to stderr by itself; the errors raised here say which file it was. Read once by
# OpenCV.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.media.probe import HEAD, avi_size, jpeg_size, too_large

Reader = Callable[[Sequence[int]], Iterator[Image]]
Place = tuple[int, int]  # of a frame: first byte and length

# One thread: ingest runs as many processes as there are cores, and FFmpeg's threads delay the first frame.
OPTIONS = [cv2.CAP_PROP_N_THREADS, 1]
# A seek in FFmpeg costs about so many frames: it goes back some and decodes from there.
SEEK_COST = 32
INDEX = np.dtype([("name", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _chunks(stream: io.BufferedReader, size: int) -> tuple[int, bytes]:
    """Where the list of frames begins in an AVI, and its index; (0, b"") when one of them is missing."""
    position, movie, index = 12, 0, b""
    while position + 8 <= size:
        stream.seek(position)
        start = stream.read(12)
        length = int.from_bytes(start[4:8], "little")
        if start[:4] == b"LIST" and start[8:] == b"movi":
            movie = position + 8
        elif start[:4] == b"idx1":
            stream.seek(position + 8)
            index = stream.read(min(length, size - position))
        position += 8 + length + length % 2
    return (movie, index) if movie else (0, b"")


def mjpeg_places(path: Path) -> list[Place] | None:
    """Where the frames of a Motion JPEG AVI are, by its index.

    Returns:
        First byte and length of each frame, those without content passed over as players do. None when the file is of
        another kind or has no index that fits, such as one of more than 1 GB: FFmpeg reads these.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        # Large files go on in further RIFF parts, which the index does not know.
        if head[:4] != b"RIFF" or int.from_bytes(head[4:8], "little") + 9 < size:
            return None
        movie, content = _chunks(stream, size)
        index = np.frombuffer(content[: len(content) // INDEX.itemsize * INDEX.itemsize], INDEX)
        index = index[np.isin([name[2:] for name in index["name"]], [b"dc", b"db"]) & (index["size"] > 0)]
        if not len(index) or len(np.unique(index["name"])) > 1:
            return None
        # Offsets count from the list of frames, or from the file's start: writers differ.
        for base in (movie, 0):
            stream.seek(base + int(index["offset"][0]))
            if stream.read(4) == bytes(index["name"][0]):
                break
        else:
            return None
        first = base + int(index["offset"][0]) + 8
        stream.seek(first)
        # Another size in the JPEG means half pictures (interlaced video), which FFmpeg puts together.
        if stream.read(3) != b"\xff\xd8\xff" or stream.seek(first) != first or jpeg_size(stream) != avi_size(head):
            return None
    places = [(base + int(entry["offset"]) + 8, int(entry["size"])) for entry in index]
    return places if all(start + length <= size for start, length in places) else None


def _mjpeg_reader(path: Path, places: list[Place]) -> Reader:
    def read(numbers: Sequence[int]) -> Iterator[Image]:
        with path.open("rb") as stream:
            for number in numbers:
                start, length = places[number]
                stream.seek(start)
                data = stream.read(length)
                found = jpeg_size(io.BytesIO(data))
                whole = found is not None and too_large(*found) is None and b"\xff\xd9" in data[-64:]
                flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
                frame = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if whole else None
                if frame is None:
                    raise EchosynthError(f"{path}: frame {number} of {len(places)} cannot be decoded; copy it again")
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    return read


def _open(path: Path) -> Any:
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, OPTIONS)
    if not video.isOpened():
        raise EchosynthError(f"{path} is no readable video; copy it again")
    size = int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if problem := too_large(*size):
        raise EchosynthError(f"{path} {problem}")
    return video


def _seek(video: Any, index: int) -> bool:
    """Go to a frame; False when the container cannot."""
    return bool(video.set(cv2.CAP_PROP_POS_FRAMES, index)) and int(video.get(cv2.CAP_PROP_POS_FRAMES)) == index


def _count(path: Path) -> int:
    """Frames that can be read. The header's count is believed when there is a last frame and none after it; else all
    are decoded.
    """
    video = _open(path)
    promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    if promised > 0 and _seek(video, promised - 1) and video.grab() and not video.grab():
        return promised
    video = _open(path)
    count = 0
    while video.grab():
        count += 1
    return count


def _ffmpeg_reader(path: Path, total: int) -> Reader:
    def read(numbers: Sequence[int]) -> Iterator[Image]:
        video, position = _open(path), 0
        for number in numbers:
            if number - position > SEEK_COST:
                if _seek(video, number):
                    position = number
                else:
                    video, position = _open(path), 0
            while position < number and video.grab():
                position += 1
            done, frame = video.read()
            if not done:
                raise EchosynthError(f"{path}: frame {number} of {total} cannot be decoded; copy it again")
            position += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    return read


def open_video(path: Path) -> tuple[int, Reader]:
    """Look a video over.

    Args:
        path: an AVI or MP4 that `echosynth.media.probe` found whole.

    Returns:
        The number of frames, and a function of ascending frame numbers from 0 that yields them as (H, W, 3) RGB uint8,
        one at a time. Of Motion JPEG, which EchoNet's videos are, only the wanted frames are read.

    Raises:
        EchosynthError: the file is no video or holds no frame; while reading, a frame is damaged.
    """
    places = mjpeg_places(path) if path.name.lower().endswith(".avi") else None
    if places:
        return len(places), _mjpeg_reader(path, places)
    total = _count(path)
    if not total:
        raise EchosynthError(f"{path} holds no frame that can be decoded; copy it again")
    return total, _ffmpeg_reader(path, total)
