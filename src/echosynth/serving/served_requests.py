"""What the served model is asked and what it answers: pictures as numbers, or whole files in base64.

A request is untrusted. Whatever is wrong with it is said in one sentence; nothing of it is logged or kept (a file lies
in a temporary folder while it is decoded, since decoders read files).
"""

import base64
import io
import struct
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom

from echosynth.classifier.network import predict
from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.media.decode import Stream
from echosynth.media.mjpeg import mjpeg_places
from echosynth.media.probe import HEAD, content_kind, jpeg_size, probe
from echosynth.media.video import video_size
from echosynth.serving.clips import FRAMES, opened
from echosynth.serving.view_classifier import ViewClassifier

MAX_INPUTS = 256
MAX_PIXELS = 2**23  # of one picture: 3,840 x 2,160 are less, and DICOM in colour takes 75 bytes for each
MAX_FILE_PIXELS = 2**27  # of the frames of one file that are looked at: 32 frames of 2,048 x 2,048
MAX_REQUEST_PIXELS = 2**28  # of all inputs: 10 cines of 1,024 x 768; MLflow waits for 60 s
MAX_BYTES = 2**27  # of one file, 128 MiB
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "DICOM": ".dcm", "AVI": ".avi", "MP4": ".mp4"}
FORMS = 'a picture (rows of numbers), {"image": picture} or {"file": base64 text}'
NUMBERS = (
    "is no picture: give rows of equal length of whole numbers from 0 to 255, (height, width) grey or "
    "(height, width, 3) RGB"
)


def answers(classifier: ViewClassifier, inputs: object) -> list[dict[str, str | float]]:
    """Name the view of each input.

    Args:
        classifier: a trained network with its preprocessing.
        inputs: list of 1 to `MAX_INPUTS`, each a picture, {"image": picture} or {"file": text}. A picture is (H, W)
            grey or (H, W, 3) RGB, of any size up to `MAX_PIXELS` pixels, as nested lists of whole numbers from 0 to 255
            or as a uint8 array. A text is a PNG, JPEG, DICOM, AVI or MP4 file in base64, of `MAX_BYTES` at most; the
            probabilities of a cine are averaged over `FRAMES` frames, which have at most `MAX_FILE_PIXELS` pixels
            together. All inputs together have at most `MAX_REQUEST_PIXELS`.

    Returns:
        For each input the most probable view as `view`, and the probability of each view under its name.

    Raises:
        EchosynthError: an input is nothing of that; it names the input by its place, from 0.
    """
    if not isinstance(inputs, list | np.ndarray):
        raise EchosynthError(f'"inputs" is no list; send a list in which each element is {FORMS}')
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise EchosynthError(f'"inputs" holds {len(inputs)} elements; send 1 to {MAX_INPUTS} at a time')
    # Only what is prepared is kept, a few kilobytes a frame.
    prepared, allowance = [], _Allowance()
    for place, item in enumerate(inputs):
        try:
            kind, content = _told_apart(item)
            read = _picture if kind == "image" else _file
            prepared.append(read(classifier, content, allowance))
        except EchosynthError as error:
            raise EchosynthError(f"inputs[{place}] {error}") from None
    rows = predict(classifier.network, np.concatenate(prepared))
    ends = np.cumsum([len(images) for images in prepared])
    return [_answer(frames.mean(axis=0, dtype=np.float64)) for frames in np.split(rows, ends[:-1])]


class _Allowance:
    """How much may be decoded for a request: pixels cost time, and those of one picture memory."""

    def __init__(self) -> None:
        self._spent = 0

    def spend(self, width: int, height: int, frames: int = 1) -> None:
        """Refuse pictures of that size, or note them."""
        _check_pixels(width, height)
        each = width * height
        if each * frames > MAX_FILE_PIXELS:
            raise EchosynthError(
                f"has {each * frames:,} pixels, {frames} frames of {width} x {height}; {MAX_FILE_PIXELS:,} are allowed "
                "in a file, send fewer or smaller frames"
            )
        self._spent += each * frames
        if self._spent > MAX_REQUEST_PIXELS:
            raise EchosynthError(
                f"brings the request to {self._spent:,} pixels; {MAX_REQUEST_PIXELS:,} are allowed, send the rest in "
                "another request"
            )


def _check_pixels(width: int, height: int) -> None:
    """Refuse one picture of that size."""
    if width * height > MAX_PIXELS:
        raise EchosynthError(f"has {width * height:,} pixels; {MAX_PIXELS:,} are allowed, make it smaller")


def _answer(row: npt.NDArray[np.floating]) -> dict[str, str | float]:
    shares = {view: float(share) for view, share in zip(VIEWS, row, strict=True)}
    return {"view": VIEWS[row.argmax()], **shares}


def _told_apart(item: object) -> tuple[str, object]:
    """Which of the forms an input has, "image" or "file", and what is in it."""
    if isinstance(item, list | np.ndarray):
        return "image", item
    if not isinstance(item, Mapping):
        raise EchosynthError(f"is neither a picture nor a file; each input is {FORMS}")
    given = {key: value for key, value in item.items() if value is not None}
    if set(given) == {"image", "file"}:
        raise EchosynthError('holds both "image" and "file"; send them as two inputs')
    if len(given) != 1 or not given.keys() <= {"image", "file"}:
        raise EchosynthError(f'needs "image" or "file" and nothing else; each input is {FORMS}')
    return next(iter(given.items()))


def _picture(classifier: ViewClassifier, value: object, allowance: _Allowance) -> Image:
    """Nested lists or an array as the network sees it, (1, S, S)."""
    array = value if isinstance(value, np.ndarray) else _array(value, allowance)
    if array.dtype != np.uint8 or not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise EchosynthError(NUMBERS)
    if array is value:
        allowance.spend(array.shape[1], array.shape[0])
    return classifier.prepared([array])


def _array(value: object, allowance: _Allowance) -> Image:
    """Nested lists of whole numbers as an array. NumPy would take text, truth values and fractions, too."""
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value) or not value or not value[0]:
        raise EchosynthError(NUMBERS)
    allowance.spend(len(value[0]), len(value))
    try:
        cells = chain.from_iterable(value)
        if isinstance(value[0][0], list):
            cells = chain.from_iterable(cells)
        if set(map(type, cells)) != {int}:
            raise EchosynthError(NUMBERS)
        array = np.array(value, np.int16)
    except (TypeError, ValueError, OverflowError):  # rows of different lengths or depths, absurd numbers
        raise EchosynthError(NUMBERS) from None
    if array.min() < 0 or array.max() > 255:
        raise EchosynthError(f"{NUMBERS}; there are values from {array.min()} to {array.max()}")
    return array.astype(np.uint8)


def _decoded(text: object) -> bytes:
    """The bytes of a file from base64, with or without line breaks."""
    if not isinstance(text, str):
        raise EchosynthError("has a file that is no text; send its bytes in base64")
    if len(text) > MAX_BYTES * 3 // 2:  # base64 is a third longer than its content, and has line breaks
        raise EchosynthError(f"has a file that is too large; {MAX_BYTES // 2**20} MiB are allowed")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise EchosynthError("has a file that is no base64; send its bytes in base64") from None
    if not data:
        raise EchosynthError("has a file of 0 bytes; send one with content")
    if len(data) > MAX_BYTES:
        raise EchosynthError(f"has a file that is too large; {MAX_BYTES // 2**20} MiB are allowed")
    return data


def _file(classifier: ViewClassifier, text: object, allowance: _Allowance) -> Image:
    """The frames of a file, whose kind its content tells, as the network sees them, (N, S, S)."""
    data = _decoded(text)
    kind = content_kind(data[:HEAD])
    if kind not in SUFFIXES:
        raise EchosynthError(f"has a file that is none of {', '.join(SUFFIXES)}; send one of these")
    with tempfile.TemporaryDirectory(prefix="echosynth-") as folder:
        path = Path(folder) / f"file{SUFFIXES[kind]}"
        path.write_bytes(data)
        try:
            stream = _opened(path, kind, allowance)
            return classifier.prepared(stream.frames, stream.spacing)
        except EchosynthError as error:
            words = str(error)
            if words.startswith(f"{path}: frame"):
                raise EchosynthError(f"has a file whose {words.removeprefix(f'{path}: ')}") from None
            what = words.removeprefix(f"{path} ").replace(str(path), "it")
            raise EchosynthError(f"has a file that {what}") from None


def _opened(path: Path, kind: str, allowance: _Allowance) -> Stream:
    """A file of which nothing is decoded before its size is known to be allowed: a small file may claim much."""
    if problem := probe(path):
        raise EchosynthError(problem)
    # Opening a DICOM file decodes nothing, and refuses a header that unpacks to absurdly much. Others may decode.
    stream = opened(path, FRAMES) if kind == "DICOM" else None
    width, height = _size(path, kind)
    _check_pixels(width, height)
    stream = stream or opened(path, FRAMES)
    allowance.spend(width, height, len(stream.numbers))
    if kind == "AVI":
        _check_frames(path, stream.numbers, (width, height))
    return stream


def _check_frames(path: Path, numbers: Sequence[int], size: tuple[int, int]) -> None:
    """Each frame of Motion JPEG has a header of its own, which may claim much more than the file's."""
    places = mjpeg_places(path)
    if places is None:
        return
    with path.open("rb") as stream:
        for number in numbers:
            stream.seek(places[number][0])
            if jpeg_size(stream) not in (size, None):  # what has no size is refused when it is decoded
                raise EchosynthError(f"{path} has frames of different sizes; export it again")


def _size(path: Path, kind: str) -> tuple[int, int]:
    """Width and height of a picture by the header of a file in which `probe` found nothing wrong."""
    if kind == "PNG":
        width, height = struct.unpack_from(">II", path.read_bytes()[:HEAD], 16)
        return width, height
    if kind == "JPEG":
        return jpeg_size(io.BytesIO(path.read_bytes())) or (0, 0)
    if kind == "DICOM":
        with warnings.catch_warnings(action="ignore"):
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Columns), int(header.Rows)
    return video_size(path)
