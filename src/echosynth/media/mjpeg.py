"""Chosen frames of a Motion JPEG AVI by its index, without FFmpeg: every frame is a JPEG of its own."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.media.avi import avi_chunks, avi_size, avi_spacing
from echosynth.media.complaints import complaints
from echosynth.media.probe import HEAD, jpeg_size, too_large

Place = tuple[int, int]  # of a frame: first byte and length

INDEX = np.dtype([("name", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _movie_and_index(stream: io.BufferedReader, size: int) -> tuple[int, bytes]:
    """Where the list of frames begins in an AVI, and its index; (0, b"") when one of them is missing."""
    movie, index = 0, b""
    for name, position, length in avi_chunks(stream, size):
        if name == b"RIFF":  # large files go on in further parts, which the index does not know
            return 0, b""
        if name == b"movi":
            movie = position + 8
        elif name == b"idx1":
            stream.seek(position + 8)
            index = stream.read(min(length, size - position))
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
        if head[:4] != b"RIFF":
            return None
        movie, content = _movie_and_index(stream, size)
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


def mjpeg_spacing(path: Path, places: Sequence[Place]) -> tuple[float, float] | None:
    """Relative width and height of a pixel by the AVI's headers or, where these are silent, by the JFIF header of the
    first frame if it states a ratio (units 0), which players take for width to height; None where they are square."""
    with path.open("rb") as stream:
        if found := avi_spacing(stream.read(HEAD)):
            return found
        stream.seek(places[0][0])
        start = stream.read(18)
    x, y = int.from_bytes(start[14:16], "big"), int.from_bytes(start[16:18], "big")
    stated = start[2:4] == b"\xff\xe0" and start[6:11] == b"JFIF\0" and start[13:14] == b"\0" and x > 0 and y > 0
    return (x, y) if stated and x != y else None


def read_by_index(path: Path, places: Sequence[Place], numbers: Sequence[int]) -> Iterator[Image | EchosynthError]:
    """Decode chosen frames.

    Args:
        path: the AVI.
        places: see `mjpeg_places`.
        numbers: of the frames, from 0.

    Returns:
        (H, W, 3) RGB uint8, one at a time, or why a frame cannot be used: it is torn or has another size than the
        first. A frame without Huffman tables has the standard ones.
    """
    with path.open("rb") as stream:
        stream.seek(places[0][0])
        size = jpeg_size(stream)
        for number in numbers:
            start, length = places[number]
            stream.seek(start)
            data = stream.read(length)
            found = jpeg_size(io.BytesIO(data))
            if found and found != size and size:
                yield another_size(path, number, len(places), found, size)
                continue
            whole = found is not None and too_large(*found) is None and b"\xff\xd9" in data[-64:]
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            with complaints() as heard:
                frame = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if whole else None
            usable = frame is not None and not heard.damage
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if usable else undecodable(path, number, len(places))


def undecodable(path: Path, number: int, total: int) -> EchosynthError:
    """What is said of a damaged frame."""
    return EchosynthError(f"{path}: frame {number} of {total} cannot be decoded; copy it again")


def another_size(path: Path, number: int, total: int, size: tuple[int, int], first: tuple[int, int]) -> EchosynthError:
    """What is said of a frame that would have to be stretched: sizes are width and height."""
    has, expected = (f"{width} x {height} pixels" for width, height in (size, first))
    return EchosynthError(f"{path}: frame {number} of {total} has {has} and not {expected}; export it again")
