"""From a file to 8-bit frames, the right way up: DICOM, AVI and MP4, PNG and JPEG, MetaImage and NIfTI.

Grey levels are taken as they are written (8 bit) or scaled by what the header says (more bits, windows); never by what
a single picture happens to hold, which would make pictures of one patient differ.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image, Images
from echosynth.common.errors import EchosynthError
from echosynth.media.probe import (
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    VOLUME_SUFFIXES,
    kind_of,
    probe,
)
from echosynth.media.video import open_video

Choose = Callable[[int], int]
ChooseMany = Callable[[int], Sequence[int]]

# The darkest share of a picture's pixels, and a difference of their channels that is a strong colour, grey levels.
DARKEST, STRONG = 0.05, 64


@dataclass(frozen=True)
class Clip:
    """Frames of one file.

    Attributes:
        frames: (T, H, W) grey or (T, H, W, 3) RGB, uint8.
        spacing: width and height of a pixel in mm (or in a common unit), None when the file does not say.
        first: number of frames[0] in the file, from 0.
        total: readable frames in the file.
        note: what was done beyond decoding, such as a crop; "" when nothing.
    """

    frames: Images
    spacing: tuple[float, float] | None
    first: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class Stream:
    """Chosen frames of one file, decoded one at a time.

    Attributes:
        frames: (H, W) grey or (H, W, 3) RGB, uint8, one for each of `numbers`. Raises EchosynthError where a frame is
        damaged.
        numbers: of the frames in the file, from 0, ascending.
        spacing: see `Clip`.
        total: see `Clip`.
        note: see `Clip`.
    """

    frames: Iterator[Image]
    numbers: Sequence[int]
    spacing: tuple[float, float] | None
    total: int
    note: str = ""


def _rgb(picture: npt.NDArray[Any]) -> Image:
    """OpenCV's picture (grey, BGR or BGRA; 8 or 16 bit) as grey or RGB uint8. What is transparent is black, as the
    surroundings of an ultrasound picture are."""
    if picture.dtype == np.uint16:
        picture = np.round(picture / 257.0).astype(np.uint8)
    if picture.ndim == 3 and picture.shape[2] == 4:
        opaque = picture[:, :, 3:].astype(np.float32) / 255
        picture = np.rint(picture[:, :, :3] * opaque).astype(np.uint8)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if picture.ndim == 3 else picture


def _read_picture(path: Path, kind: str, choose: ChooseMany) -> Stream:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    # A PNG as it is written, with its transparency; a JPEG turned upright as its camera says.
    flags = cv2.IMREAD_UNCHANGED if kind == ".png" else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    picture = cv2.imdecode(data, flags)
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise EchosynthError(f"{path} is no {kind[1:].upper()} picture that can be decoded; copy it again")
    return Stream(iter([_rgb(picture)]), choose(1), None, 1)


def _read_video(path: Path, choose: ChooseMany) -> Stream:
    video = open_video(path)
    numbers = choose(video.total)
    note = "pixels of {:g} x {:g}, which are not square".format(*video.spacing) if video.spacing else ""
    return Stream(video.read(numbers), numbers, video.spacing, video.total, note)


def _read_dicom(path: Path, choose: ChooseMany) -> Stream:
    from echosynth.media.dicom import read_dicom  # here: who reads a cine does not wait for what reads other kinds

    frames, spacing, numbers, total, note = read_dicom(path, choose)
    return Stream(frames, numbers, spacing, total, note)


def _read_volume(path: Path, choose: ChooseMany) -> Stream:
    from echosynth.media.volume import read_volume

    frames, spacing, numbers, total, note = read_volume(path, choose)
    return Stream(frames, numbers, spacing, total, note)


def _unreadable(path: Path, error: OSError) -> EchosynthError:
    return EchosynthError(f"{path} cannot be read ({error.strerror}); check its permissions and its disk")


def _refuse_wrong_colours(path: Path, frame: Image) -> None:
    """Refuse a picture whose darkest parts have a strong colour, as no ultrasound picture has around its sector.

    Black that was taken for luma and chroma becomes a strong green, and luma and chroma that were taken for red, green
    and blue turn black into cyan.
    """
    if frame.ndim != 3:
        return
    pixels = frame[::4, ::4].reshape(-1, 3)
    brightness = pixels.sum(axis=1, dtype=np.int64)
    dark = np.median(pixels[brightness <= np.quantile(brightness, DARKEST)], axis=0).astype(int)
    if np.ptp(dark) > STRONG:
        colour = ", ".join(map(str, dark))
        raise EchosynthError(
            f"{path} has red, green and blue of {colour} where it is darkest, so its file tells a wrong colour space; "
            "export it again"
        )


def _checked(path: Path, frames: Iterator[Image]) -> Iterator[Image]:
    """The frames, the first one with a look at its colours, with one sentence where the disk fails on the way."""
    try:
        for number, frame in enumerate(frames):
            if not number:
                _refuse_wrong_colours(path, frame)
            yield frame
    except OSError as error:
        raise _unreadable(path, error) from None


def read_stream(path: Path | str, choose: ChooseMany) -> Stream:
    """Open a file for some of its frames, which are decoded one at a time; the others are not where the container
    allows it.

    Args:
        path: DICOM (also without a suffix), AVI, MP4, PNG, JPEG, MetaImage or NIfTI.
        choose: gets the number of frames that can be read, 1 or more, and returns the numbers of the wanted ones, from
            0, ascending.

    Raises:
        EchosynthError: the file is missing, empty, torn, absurdly large, of no known kind or of another kind than its
            name says, has no such frame, or shows colours that no ultrasound picture has.
    """
    path = Path(path)

    def checked(total: int) -> Sequence[int]:
        numbers = choose(total)
        if outside := [number for number in numbers if not 0 <= number < total]:
            raise EchosynthError(f"{path} has {total} frames; there is no frame {outside[0]}")
        return numbers

    if problem := probe(path):
        raise EchosynthError(f"{path} {problem}")
    try:
        kind = kind_of(path)
        if kind in VIDEO_SUFFIXES:
            stream = _read_video(path, checked)
        elif kind in PICTURE_SUFFIXES:
            stream = _read_picture(path, str(kind), checked)
        else:
            stream = (_read_volume if kind in VOLUME_SUFFIXES else _read_dicom)(path, checked)
    except OSError as error:
        raise _unreadable(path, error) from None
    return Stream(_checked(path, stream.frames), stream.numbers, stream.spacing, stream.total, stream.note)


def _clip(path: Path | str, stream: Stream) -> Clip:
    frames = list(stream.frames)
    if len({frame.shape for frame in frames}) > 1:
        raise EchosynthError(f"{path} has frames of different sizes; export it again")
    return Clip(np.stack(frames), stream.spacing, stream.numbers[0], stream.total, stream.note)


def read_frame(path: Path | str, choose: Choose = lambda total: 0) -> Clip:
    """Read one frame of a file.

    Args:
        path: see `read_stream`.
        choose: gets the number of frames that can be read, 1 or more, and returns the number of the wanted one, from 0.

    Returns:
        A clip of one frame; `first` is its number.

    Raises:
        EchosynthError: see `read_stream`.
    """
    return _clip(path, read_stream(path, lambda total: [choose(total)]))


def read_clip(path: Path | str) -> Clip:
    """Read all frames of a file. See `read_stream`."""
    return _clip(path, read_stream(path, range))
