"""From a file to 8-bit frames, the right way up: DICOM, AVI and MP4, PNG and JPEG, MetaImage and NIfTI.

Grey levels are taken as they are written (8 bit) or scaled by what the header says (more bits, windows); never by what
a single picture happens to hold, which would make pictures of one patient differ.
"""

import gzip
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# FFmpeg writes about every torn frame to stderr by itself; the errors raised here say which file it was. Read once by
# OpenCV.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from echosynth.errors import EchosynthError
from echosynth.images.dicom import read_dicom

Frames = npt.NDArray[np.uint8]
Choose = Callable[[int], int]
ChooseRange = Callable[[int], range]

VIDEO_SUFFIXES = (".avi", ".mp4")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
VOLUME_SUFFIXES = (".mhd", ".mha", ".nii.gz", ".nii")
DICOM_SUFFIXES = (".dcm", ".dicom")
# Torn files may still open: a whole PNG or JPEG ends with these bytes (a JPEG possibly with something small after).
PICTURE_ENDS = {b"\x89PNG": b"IEND\xaeB`\x82", b"\xff\xd8\xff": b"\xff\xd9"}
TAIL = 4096

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
sitk.ProcessObject.SetGlobalWarningDisplay(False)


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

    frames: Frames
    spacing: tuple[float, float] | None
    first: int
    total: int
    note: str = ""


def _kind(path: Path) -> str:
    """The suffix that says how `path` is read; DICOM files often have none and are known by their preamble."""
    name = path.name.lower()
    for suffix in (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES, *VOLUME_SUFFIXES, *DICOM_SUFFIXES):
        if name.endswith(suffix):
            return suffix
    with path.open("rb") as stream:
        if stream.read(132)[128:] == b"DICM":
            return ".dcm"
    known = ", ".join((*DICOM_SUFFIXES, *VIDEO_SUFFIXES, *PICTURE_SUFFIXES, *VOLUME_SUFFIXES))
    raise EchosynthError(f"{path} is of no known kind; known are {known} and DICOM without a suffix")


def _rgb(picture: npt.NDArray[Any]) -> Frames:
    """OpenCV's picture (grey, BGR or BGRA; 8 or 16 bit) as grey or RGB uint8."""
    if picture.dtype == np.uint16:
        picture = np.round(picture / 257.0).astype(np.uint8)
    if picture.ndim == 3:
        return np.ascontiguousarray(picture[:, :, 2::-1]) if picture.shape[2] >= 3 else picture[:, :, 0]
    return picture


def _read_picture(path: Path, kind: str, choose: ChooseRange) -> Clip:
    data = path.read_bytes()
    for start, end in PICTURE_ENDS.items():
        if data.startswith(start) and end not in data[-TAIL:]:
            raise EchosynthError(f"{path} is torn: its end is missing; copy it again")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise EchosynthError(f"{path} is no {kind[1:].upper()} picture; copy it again")
    choose(1)
    return Clip(_rgb(picture)[None], None, 0, 1)


def _check_gzip(path: Path) -> None:
    """Read through the check sums: SimpleITK fills the end of a torn file with zeros and says nothing."""
    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EchosynthError(f"{path} is torn or no gzip file ({error}); copy it again") from None


def _read_volume(path: Path, choose: ChooseRange) -> Clip:
    if path.suffix == ".gz":
        _check_gzip(path)
    try:
        image = sitk.ReadImage(str(path))
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
    frames = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    chosen = choose(len(frames))
    return Clip(
        frames[chosen.start : chosen.stop : chosen.step], _spacing(*image.GetSpacing()[:2]), chosen.start, len(frames)
    )


def _spacing(x: float, y: float) -> tuple[float, float] | None:
    """Spacing that makes sense, else None."""
    return (float(x), float(y)) if all(math.isfinite(v) and v > 0 for v in (x, y)) else None


def _open_video(path: Path) -> Any:
    """Open a video that is whole.

    A torn AVI would open and give its first frames; the length in its RIFF header tells.
    """
    with path.open("rb") as stream:
        start = stream.read(12)
    if start[:4] == b"RIFF" and int.from_bytes(start[4:8], "little") + 8 > path.stat().st_size:
        raise EchosynthError(f"{path} is torn: it is shorter than its header says; copy it again")
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise EchosynthError(f"{path} is no readable video; copy it again")
    return video


def _seek(video: Any, index: int) -> bool:
    """Go to a frame; False when the container cannot."""
    return bool(video.set(cv2.CAP_PROP_POS_FRAMES, index)) and int(video.get(cv2.CAP_PROP_POS_FRAMES)) == index


def _count_frames(path: Path) -> int:
    """Frames that can be read. The header's count is believed when there is a last frame and none after it; else all
    are decoded.
    """
    video = _open_video(path)
    promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    if promised > 0 and _seek(video, promised - 1) and video.grab() and not video.grab():
        return promised
    video = _open_video(path)
    count = 0
    while video.grab():
        count += 1
    return count


def _read_video(path: Path, choose: ChooseRange) -> Clip:
    total = _count_frames(path)
    if not total:
        raise EchosynthError(f"{path} holds no frame that can be decoded; copy it again")
    chosen = choose(total)
    video = _open_video(path)
    if chosen.start and not _seek(video, chosen.start):
        video = _open_video(path)
        for _ in range(chosen.start):
            video.grab()
    frames = []
    for index in chosen:
        done, frame = video.read()
        if not done:
            raise EchosynthError(f"{path}: frame {index} of {total} cannot be decoded; copy it again")
        frames.append(_rgb(frame))
        for _ in range(chosen.step - 1):
            video.grab()
    return Clip(np.stack(frames), None, chosen.start, total)


def _read_dicom(path: Path, choose: ChooseRange) -> Clip:
    frames, spacing, chosen, total, note = read_dicom(path, choose)
    return Clip(frames, spacing, chosen.start, total, note)


def _read(path: Path, choose: ChooseRange) -> Clip:
    if not path.is_file():
        raise EchosynthError(f"{path} is missing")
    if not path.stat().st_size:
        raise EchosynthError(f"{path} is empty; copy it again")
    try:
        kind = _kind(path)
        if kind in VIDEO_SUFFIXES:
            return _read_video(path, choose)
        if kind in PICTURE_SUFFIXES:
            return _read_picture(path, kind, choose)
        return _read_volume(path, choose) if kind in VOLUME_SUFFIXES else _read_dicom(path, choose)
    except OSError as error:
        raise EchosynthError(f"{path} cannot be read ({error.strerror}); check its permissions and its disk") from None


def read_frame(path: Path | str, choose: Choose = lambda total: 0) -> Clip:
    """Read one frame of a file.

    Args:
        path: DICOM (also without a suffix), AVI, MP4, PNG, JPEG, MetaImage or NIfTI.
        choose: gets the number of frames that can be read, 1 or more, and returns the number of the wanted one, from 0.

    Returns:
        A clip of one frame; `first` is its number.

    Raises:
        EchosynthError: the file is missing, empty, torn or of no known kind, or has no such frame.
    """
    path = Path(path)

    def chosen(total: int) -> range:
        index = choose(total)
        if not 0 <= index < total:
            raise EchosynthError(f"{path} has {total} frames; there is no frame {index}")
        return range(index, index + 1)

    return _read(path, chosen)


def read_clip(path: Path | str, max_frames: int | None = None) -> Clip:
    """Read all frames of a file, or at most `max_frames` of them (1 or more), evenly spaced over all of it. See
    `read_frame`.
    """

    def chosen(total: int) -> range:
        step = 1 if max_frames is None else math.ceil(total / max_frames)
        return range((total - 1) % step // 2, total, step)  # as much is left out before the first as after the last

    return _read(Path(path), chosen)
