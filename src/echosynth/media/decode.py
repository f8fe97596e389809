"""From a file to 8-bit frames, the right way up: DICOM, AVI and MP4, PNG and JPEG, MetaImage and NIfTI.

Grey levels are taken as they are written (8 bit) or scaled by what the header says (more bits, windows); never by what
a single picture happens to hold, which would make pictures of one patient differ.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image, Images
from echosynth.common.errors import EchosynthError
from echosynth.media.complaints import complaints
from echosynth.media.probe import (
    PICTURE_SUFFIXES,
    TORN,
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
ROUNDING = 1e-9  # a share of 0.8 leaves 2 of 10, although 1 - 0.8 is a little less


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
        frames: (H, W) grey or (H, W, 3) RGB, uint8, all of one size, one for each of `numbers` that can be used. Raises
        EchosynthError where too few can.
        numbers: of the frames in the file, from 0, ascending.
        spacing: see `Clip`.
        total: see `Clip`.
        note: see `Clip`.
        lost: numbers of the frames that could not be used, as far as was read.
    """

    frames: Iterator[Image]
    numbers: Sequence[int]
    spacing: tuple[float, float] | None
    total: int
    note: str = ""
    lost: list[int] = field(default_factory=list)

    @property
    def used(self) -> list[int]:
        """Numbers of the frames that were yielded, when all are."""
        lost = set(self.lost)
        return [number for number in self.numbers if number not in lost]


@dataclass(frozen=True)
class _Opened:
    """What a reader hands over: see `Stream`. Where a frame cannot be used it yields the reason in place of it."""

    frames: Iterator[Image | EchosynthError]
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


def _read_picture(path: Path, kind: str, choose: ChooseMany) -> _Opened:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    # A PNG as it is written, with its transparency; a JPEG turned upright as its camera says.
    flags = cv2.IMREAD_UNCHANGED if kind == ".png" else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    with complaints() as heard:
        picture = cv2.imdecode(data, flags)
    if heard.damage:
        raise EchosynthError(f"{path} {TORN}")
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise EchosynthError(f"{path} is no {kind[1:].upper()} picture that can be decoded; copy it again")
    return _Opened(iter([_rgb(picture)]), choose(1), None, 1)


def _read_video(path: Path, choose: ChooseMany) -> _Opened:
    video = open_video(path)
    numbers = choose(video.total)
    note = "pixels of {:g} x {:g}, which are not square".format(*video.spacing) if video.spacing else ""
    return _Opened(video.read(numbers), numbers, video.spacing, video.total, note)


def _read_dicom(path: Path, choose: ChooseMany) -> _Opened:
    from echosynth.media.dicom import read_dicom  # here: who reads a cine does not wait for what reads other kinds

    frames, spacing, numbers, total, note = read_dicom(path, choose)
    return _Opened(frames, numbers, spacing, total, note)


def _read_volume(path: Path, choose: ChooseMany) -> _Opened:
    from echosynth.media.volume import read_volume

    frames, spacing, numbers, total, note = read_volume(path, choose)
    return _Opened(frames, numbers, spacing, total, note)


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


def _usable(path: Path, opened: _Opened, usable: float, lost: list[int]) -> Iterator[Image]:
    """The frames that can be used, the first one with a look at its colours; the numbers of the others go to `lost`.

    Raises:
        EchosynthError: too many cannot be used, or the disk fails on the way.
    """
    count = len(opened.numbers)
    allowed = min(math.floor((1 - usable) * count + ROUNDING), count - 1)
    first = True
    try:
        for number, frame in zip(opened.numbers, opened.frames, strict=True):
            if isinstance(frame, EchosynthError):
                lost.append(number)
                if len(lost) > allowed:
                    raise _too_few(path, frame, usable, count) if allowed else frame
                continue
            if first:
                _refuse_wrong_colours(path, frame)
            first = False
            yield frame
    except OSError as error:
        raise _unreadable(path, error) from None


def _too_few(path: Path, last: EchosynthError, usable: float, count: int) -> EchosynthError:
    reason = str(last).removeprefix(f"{path}").lstrip(": ").rpartition(";")[0]
    return EchosynthError(
        f"{path}: fewer than {usable:.0%} of {count} frames can be used, which decoding.usable asks for (the last of "
        f"the others: {reason}); copy it again"
    )


def read_stream(path: Path | str, choose: ChooseMany, usable: float = 1.0) -> Stream:
    """Open a file for some of its frames, which are decoded one at a time; the others are not where the container
    allows it.

    Args:
        path: DICOM (also without a suffix), AVI, MP4, PNG, JPEG, MetaImage or NIfTI.
        choose: gets the number of frames that can be read, 1 or more, and returns the numbers of the wanted ones, from
            0, ascending, one at least.
        usable: share of the wanted frames that must be whole and of the first one's size (above 0 to 1); the others are
            passed over.

    Raises:
        EchosynthError: the file is missing, empty, torn, absurdly large, of no known kind or of another kind than its
            name says, has no such frame, or shows colours that no ultrasound picture has.
    """
    path, lost = Path(path), list[int]()

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
            opened = _read_video(path, checked)
        elif kind in PICTURE_SUFFIXES:
            opened = _read_picture(path, str(kind), checked)
        else:
            opened = (_read_volume if kind in VOLUME_SUFFIXES else _read_dicom)(path, checked)
    except OSError as error:
        raise _unreadable(path, error) from None
    frames = _usable(path, opened, usable, lost)
    return Stream(frames, opened.numbers, opened.spacing, opened.total, opened.note, lost)


def whole_clip(stream: Stream) -> Clip:
    """Decode all frames of a stream."""
    return Clip(np.stack(list(stream.frames)), stream.spacing, stream.numbers[0], stream.total, stream.note)


def evenly(most: int) -> ChooseMany:
    """Choose at most so many (1 or more) evenly spaced frames; as many are left out before the first as after the
    last."""

    def chosen(total: int) -> range:
        step = math.ceil(total / most)
        return range((total - 1) % step // 2, total, step)

    return chosen


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
    return whole_clip(read_stream(path, lambda total: [choose(total)]))


def read_clip(path: Path | str) -> Clip:
    """Read all frames of a file. See `read_stream`."""
    return whole_clip(read_stream(path, range))
