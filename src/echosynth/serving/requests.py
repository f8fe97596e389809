"""What a served model is asked: pictures as numbers, or whole files in base64. Nothing here needs PyTorch.

A request is untrusted. Whatever is wrong with it is said in one sentence; nothing of it is logged or kept (a file lies
in a temporary folder while it is decoded, since decoders read files). Files are decoded in a child process, which does
`serve_file` or, where nobody has read the request before, `serve_request`; see `echosynth.common.children`.
"""

import base64
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from echosynth.common.arrays import Image, Images
from echosynth.common.child import Channel, lacks_memory
from echosynth.common.children import Job
from echosynth.common.errors import EchosynthError
from echosynth.media.decode import evenly, read_stream
from echosynth.media.probe import HEAD, MAX_PIXELS, allow_pixels, content_kind, too_large
from echosynth.serving.options import FRAMES
from echosynth.serving.preprocessing import Preprocessing

MAX_INPUTS = 256
MAX_FRAMES = 4096  # of all inputs: a network that is slow on the CPU has enough to do with them
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "DICOM": ".dcm", "AVI": ".avi", "MP4": ".mp4"}
FORMS = 'a picture (rows of numbers), {"image": picture} or {"file": base64 text}'
NUMBERS = (
    "is no picture: give rows of equal length of whole numbers from 0 to 255, (height, width) grey or "
    "(height, width, 3) RGB"
)
QUOTED = re.compile(r" \([^()]*(\([^()]*\)[^()]*)*\)")  # words of decoders, which may quote the file
REQUEST = 'the request is not {"inputs": [...]} in JSON; send a list of pictures and files in this form'


@dataclass(frozen=True)
class Read:
    """An input.

    Attributes:
        images: (N, S, S) uint8, of the frames that were used.
        chosen: frames that were looked at.
        total: frames of the file.
    """

    images: Images
    chosen: int = 1
    total: int = 1


def read_inputs(
    inputs: object, how: Preprocessing, read_file: Callable[[str], Read], pixels: int = MAX_PIXELS
) -> Iterator[Read]:
    """Read the inputs of a request, one at a time.

    Args:
        inputs: list of 1 to `MAX_INPUTS`, each a picture, {"image": picture} or {"file": text}. A picture is (H, W)
            grey or (H, W, 3) RGB, as nested lists of whole numbers from 0 to 255 or as a uint8 array. A text
            is a PNG, JPEG, DICOM, AVI or MP4 file in base64.
        how: the preprocessing.
        read_file: reads a file from its text.
        pixels: the most that a picture may have.

    Raises:
        EchosynthError: an input is nothing of that; it names the input by its place, from 0.
    """
    if not isinstance(inputs, list | np.ndarray):
        raise EchosynthError(f'"inputs" is no list; send a list in which each element is {FORMS}')
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise EchosynthError(f'"inputs" holds {len(inputs)} elements; send 1 to {MAX_INPUTS} at a time')
    frames = 0
    for place, item in enumerate(inputs):
        try:
            kind, content = _told_apart(item)
            read = Read(how.prepared([_picture(content, pixels)])) if kind == "image" else read_file(_text(content))
            frames += len(read.images)
            if frames > MAX_FRAMES:
                raise EchosynthError(
                    f"brings the request to {frames:,} frames; {MAX_FRAMES:,} are allowed, send the rest in another one"
                )
            yield read
        except EchosynthError as error:
            raise EchosynthError(f"inputs[{place}] {error}") from None


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


def _picture(value: object, pixels: int) -> Image:
    """Nested lists or an array as a picture."""
    array = value if isinstance(value, np.ndarray) else _array(value, pixels)
    if array.dtype != np.uint8 or not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise EchosynthError(NUMBERS)
    if problem := too_large(array.shape[1], array.shape[0], most=pixels):
        raise EchosynthError(problem)
    return array


def _array(value: object, pixels: int) -> Image:
    """Nested lists of whole numbers as an array. NumPy would take text, truth values and fractions, too."""
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value) or not value or not value[0]:
        raise EchosynthError(NUMBERS)
    if problem := too_large(len(value[0]), len(value), most=pixels):
        raise EchosynthError(problem)
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


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise EchosynthError("has a file that is no text; send its bytes in base64")
    return value


def read_file(text: str, how: Preprocessing, usable: float) -> Read:
    """Decode a file, whose kind its content tells, in this process.

    Args:
        text: the file in base64, with or without line breaks.
        how: the preprocessing.
        usable: see `echosynth.media.decode.read_stream`.

    Raises:
        EchosynthError: it is no such file or cannot be decoded; the sentence begins with "has a file".
    """
    try:
        data = base64.b64decode("".join(text.split()) if "\n" in text or " " in text else text, validate=True)
    except ValueError:
        raise EchosynthError("has a file that is no base64; send its bytes in base64") from None
    if not data:
        raise EchosynthError("has a file of 0 bytes; send one with content")
    kind = content_kind(data[:HEAD])
    if kind not in SUFFIXES:
        raise EchosynthError(f"has a file that is none of {', '.join(SUFFIXES)}; send one of these")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{SUFFIXES[kind]}"
        path.write_bytes(data)
        del data
        try:
            stream = read_stream(path, evenly(FRAMES), usable)
            return Read(how.prepared(stream.frames, stream.spacing), len(stream.numbers), stream.total)
        except EchosynthError as error:
            words = QUOTED.sub("", str(error))
            if words.startswith(f"{path}: "):
                raise EchosynthError(f"has a file of which {words.removeprefix(f'{path}: ')}") from None
            what = words.removeprefix(f"{path} ").replace(str(path), "it")
            raise EchosynthError(f"has a file that {what}") from None
        except Exception as error:  # whose words may quote the file
            if lacks_memory(error):
                raise
            raise EchosynthError("has a file that cannot be decoded; export it again") from None


def _send(channel: Channel, read: Read) -> None:
    channel.send({"chosen": read.chosen, "total": read.total}, read.images.data)


def received(job: Job, how: Preprocessing, most: int) -> Iterator[Read]:
    """What a child has read, an input a message of at most so many bytes."""
    while found := job.receive(most):
        message, payload = found
        images = np.frombuffer(payload, np.uint8).reshape(-1, how.size, how.size)
        yield Read(images, message["chosen"], message["total"])


def serve_path(
    channel: Channel, payload: bytearray, path: str, frames: int, pixels: int, usable: float, **how: Any
) -> None:
    """Read a file that lies on this machine: a job for a child process."""
    allow_pixels(pixels)
    stream = read_stream(path, evenly(frames), usable)
    images = Preprocessing(**how).prepared(stream.frames, stream.spacing)
    _send(channel, Read(images, len(stream.numbers), stream.total))


def serve_file(channel: Channel, payload: bytearray, pixels: int, usable: float, **how: Any) -> None:
    """Read one file: a job for a child process."""
    allow_pixels(pixels)
    text = payload.decode("ascii", "replace")
    payload.clear()
    _send(channel, read_file(text, Preprocessing(**how), usable))


def serve_request(channel: Channel, payload: bytearray, pixels: int, usable: float, **how: Any) -> None:
    """Read a whole request, {"inputs": [...]} in JSON: a job for a child process, as a few bytes of JSON may become
    much in memory. Each input is one message."""
    allow_pixels(pixels)
    preprocessing = Preprocessing(**how)
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        raise EchosynthError(REQUEST) from None
    payload.clear()
    if not isinstance(content, dict) or not {"inputs"} <= content.keys() <= {"inputs", "params"}:
        raise EchosynthError(REQUEST)
    inputs = content["inputs"]
    for read in read_inputs(inputs, preprocessing, lambda text: read_file(text, preprocessing, usable), pixels):
        _send(channel, read)
