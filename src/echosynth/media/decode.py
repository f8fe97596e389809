"""From a file to 8-bit frames, the right way up: DICOM, AVI and MP4, PNG and JPEG, MetaImage and NIfTI.

Grey levels are taken as they are written (8 bit) or scaled by what the header says (more bits, windows); never by what
a single picture happens to hold, which would make pictures of one patient differ.
"""

import gzip
import math
import zlib
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
    nifti_header,
    probe,
    too_large,
)
from echosynth.media.video import open_video

Choose = Callable[[int], int]
ChooseMany = Callable[[int], Sequence[int]]

# A gzip file may hold so many bytes more than its header says before it counts as hostile.
SLACK = 1 << 24


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


def _check_gzip(path: Path) -> None:
    """Read through the check sums: SimpleITK fills the end of a torn file with zeros and says nothing."""
    try:
        with gzip.open(path) as stream:
            found = nifti_header(stream.read(1000))
            left = (found[1] if found else 0) + SLACK
            while chunk := stream.read(1 << 20):
                left -= len(chunk)
                if left < 0:
                    raise EchosynthError(f"{path} unpacks to more than its header says; leave it out")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EchosynthError(f"{path} is torn or no gzip file ({error}); copy it again") from None


def _read_volume(path: Path, choose: ChooseMany) -> Stream:
    if path.suffix.lower() == ".gz":
        _check_gzip(path)
    import SimpleITK as sitk  # here and for DICOM below: who reads a cine does not wait for what reads other kinds

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        if len(reader.GetSize()) < 2:
            raise EchosynthError(f"{path} holds a line of values, no picture; leave it out")
        width, height, *others = reader.GetSize()
        if problem := too_large(width, height, math.prod(others) * reader.GetNumberOfComponents()):
            raise EchosynthError(f"{path} {problem}")
        image = reader.Execute()
    except RuntimeError as error:
        reason = " ".join(str(error).split()).rsplit("ERROR: ", 1)[-1]
        raise EchosynthError(f"{path} cannot be read ({reason}); copy it and its data file again") from None
    array: npt.NDArray[Any] = sitk.GetArrayFromImage(image)
    spatial = array.ndim - (image.GetNumberOfComponentsPerPixel() > 1)
    if spatial == 2:
        array = array[None]
    if spatial > 3 or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3) or not array.size:
        raise EchosynthError(f"{path} has the shape {array.shape}; a picture or a sequence of pictures is expected")
    # "not (within)" also catches NaN. Half a grey level may come from somebody's resampling.
    if not (array.min() >= -0.5 and array.max() <= 255.5):
        raise EchosynthError(f"{path} holds values from {array.min()} to {array.max()}; 0 to 255 are expected")
    numbers = choose(len(array))
    frames = (np.clip(np.rint(array[number]), 0, 255).astype(np.uint8) for number in numbers)
    return Stream(frames, numbers, _spacing(*image.GetSpacing()[:2]), len(array))


def _spacing(x: float, y: float) -> tuple[float, float] | None:
    """Spacing that makes sense, else None."""
    return (float(x), float(y)) if all(math.isfinite(v) and v > 0 for v in (x, y)) else None


def _read_video(path: Path, choose: ChooseMany) -> Stream:
    video = open_video(path)
    numbers = choose(video.total)
    note = "pixels of {:g} x {:g}, which are not square".format(*video.spacing) if video.spacing else ""
    return Stream(video.read(numbers), numbers, video.spacing, video.total, note)


def _read_dicom(path: Path, choose: ChooseMany) -> Stream:
    from echosynth.media.dicom import read_dicom

    frames, spacing, numbers, total, note = read_dicom(path, choose)
    return Stream(frames, numbers, spacing, total, note)


def _unreadable(path: Path, error: OSError) -> EchosynthError:
    return EchosynthError(f"{path} cannot be read ({error.strerror}); check its permissions and its disk")


def _explained(path: Path, frames: Iterator[Image]) -> Iterator[Image]:
    """The frames, with one sentence where the disk fails on the way."""
    try:
        yield from frames
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
            name says, or has no such frame.
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
    return Stream(_explained(path, stream.frames), stream.numbers, stream.spacing, stream.total, stream.note)


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
