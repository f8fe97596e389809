"""What the served model is asked and what it answers: pictures as numbers, or whole files in base64.

A request is untrusted. Whatever is wrong with it is said in one sentence; nothing of it is logged or kept (a file lies
in a temporary folder while it is decoded, since decoders read files).
"""

import base64
import tempfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echosynth.classify.clips import FRAMES, mean_probabilities, read
from echosynth.classify.predict import ViewClassifier
from echosynth.errors import EchosynthError
from echosynth.images.decode import Clip, read_frame
from echosynth.images.prepare import Picture
from echosynth.images.probe import HEAD, content_kind
from echosynth.views import VIEWS

MAX_INPUTS = 256
MAX_PIXELS = 2**24  # of one picture: 4,096 x 4,096, more than a scanner's screen has
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
            probabilities of a cine are averaged over `FRAMES` frames.

    Returns:
        For each input the most probable view as `view`, and the probability of each view under its name.

    Raises:
        EchosynthError: an input is nothing of that; it names the input by its place, from 0.
    """
    if not isinstance(inputs, list | np.ndarray):
        raise EchosynthError(f'"inputs" is no list; send a list in which each element is {FORMS}')
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise EchosynthError(f'"inputs" holds {len(inputs)} elements; send 1 to {MAX_INPUTS} at a time')
    rows: dict[int, npt.NDArray[np.floating]] = {}
    pictures: dict[int, Picture] = {}
    for place, item in enumerate(inputs):
        try:
            kind, content = _told_apart(item)
            if kind == "image":
                pictures[place] = _picture(content)
            else:
                rows[place] = mean_probabilities(classifier, _clip(_decoded(content)))
        except EchosynthError as error:
            raise EchosynthError(f"inputs[{place}] {error}") from None
    if pictures:  # in one batch
        rows |= zip(pictures, classifier.probabilities(list(pictures.values())), strict=True)
    return [_answer(rows[place]) for place in range(len(inputs))]


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


def _picture(value: object) -> Picture:
    """Nested lists or an array as a uint8 array."""
    array = value if isinstance(value, np.ndarray) else _array(value)
    if array.dtype != np.uint8 or not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise EchosynthError(NUMBERS)
    _check_pixels(array.shape[0] * array.shape[1])
    return array


def _array(value: object) -> Picture:
    """Nested lists of whole numbers as an array. NumPy would take text, truth values and fractions, too."""
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value) or not value or not value[0]:
        raise EchosynthError(NUMBERS)
    _check_pixels(len(value) * len(value[0]))
    try:
        cells = chain.from_iterable(value)
        if isinstance(value[0][0], list):
            cells = chain.from_iterable(cells)
        if set(map(type, cells)) != {int}:
            raise EchosynthError(NUMBERS)
        array = np.array(value, np.int64)
    except (TypeError, ValueError, OverflowError):  # rows of different lengths or depths, absurd numbers
        raise EchosynthError(NUMBERS) from None
    if array.min() < 0 or array.max() > 255:
        raise EchosynthError(f"{NUMBERS}; there are values from {array.min()} to {array.max()}")
    return array.astype(np.uint8)


def _check_pixels(count: int) -> None:
    if count > MAX_PIXELS:
        raise EchosynthError(f"has {count:,} pixels; {MAX_PIXELS:,} are allowed, make it smaller")


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


def _clip(data: bytes) -> Clip:
    """The frames of a file, whose kind its content tells."""
    kind = content_kind(data[:HEAD])
    if kind not in SUFFIXES:
        raise EchosynthError(f"has a file that is none of {', '.join(SUFFIXES)}; send one of these")
    with tempfile.TemporaryDirectory(prefix="echosynth-") as folder:
        path = Path(folder) / f"file{SUFFIXES[kind]}"
        path.write_bytes(data)
        try:
            clip = read_frame(path)  # one frame first: a small file may claim large ones
            _check_pixels(clip.frames.shape[1] * clip.frames.shape[2])
            return clip if clip.total == 1 else read(path, FRAMES)
        except EchosynthError as error:
            what = str(error).removeprefix(f"{path} ").replace(str(path), "it")
            raise EchosynthError(f"has a file that {what}") from None
