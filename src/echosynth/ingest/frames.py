"""Which frames become pictures, and one file read to them: random, evenly spaced, dissimilar, or marked ED and ES."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image
from echosynth.common.child import Channel
from echosynth.common.errors import EchosynthError
from echosynth.imagesets.prepare import is_square, prepare, square_pixels, to_grey
from echosynth.ingest.options import IngestParams
from echosynth.media.apart import DECODERS
from echosynth.media.decode import read_stream
from echosynth.media.options import LIMITS, DecodingParams
from echosynth.media.probe import allow_pixels
from echosynth.sources.base import Moment, Record

if TYPE_CHECKING:
    from echosynth.ingest.rules import Seed  # which the child process does without: it brings pandas

QUANTILE = 0.25
FLAT = 2  # grey levels between the darkest and the brightest pixel of a picture that shows nothing


@dataclass(frozen=True)
class Taken:
    """A picture taken from a file.

    Attributes:
        frame: its number in the file, from 0.
        moment: "ED", "ES" or "".
        pixels: see `echosynth.imagesets.store.pixel_hash`.
        png: the prepared picture, encoded.
    """

    frame: int
    moment: str
    pixels: str
    png: bytes


@dataclass(frozen=True)
class Reading:
    """What became of one file.

    Attributes:
        taken: its pictures by frame number, none when it cannot be read.
        frames: frames in the file.
        width: of a native frame in pixels.
        height: of a native frame in pixels.
        marks_lost: ED and ES marks that could not be followed.
        enlarged: whether the picture was smaller than what is made of it.
        flat: pictures of one grey level, or nearly.
        lost: frames of those that were chosen which could not be used and were passed over.
        squared: whether its pixels were not square and were made so.
        error: why there are no pictures, with the file's name; "" when there are.
    """

    taken: tuple[Taken, ...] = ()
    frames: int = 0
    width: int = 0
    height: int = 0
    marks_lost: int = 0
    enlarged: bool = False
    flat: int = 0
    squared: bool = False
    lost: int = 0
    error: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture before it is encoded.

    Attributes:
        frame: its number in the file, from 0.
        moment: "ED", "ES" or "".
        pixels: (side, side) uint8.
    """

    frame: int
    moment: str
    pixels: Image


def spaced(total: int, count: int) -> list[int]:
    """Numbers of `count` frames out of `total`, the middles of equal stretches; all frames when there are fewer."""
    if total <= count:
        return list(range(total))
    return [(2 * index + 1) * total // (2 * count) for index in range(count)]


def marked(total: int, marks: Iterable[tuple[Moment, int]]) -> tuple[dict[int, Moment], int]:
    """Frames that a release marks as end diastole or end systole.

    Args:
        total: frames in the file.
        marks: moment and number of the frame, from 0.

    Returns:
        Number -> moment, ascending, and how many marks were passed over: those outside of the file, and those that call
        one frame both. A mark that stands twice counts once.
    """
    unique = sorted(set(marks), key=lambda mark: mark[1])
    times = Counter(number for _, number in unique)
    good = {number: moment for moment, number in unique if 0 <= number < total and times[number] == 1}
    return good, len(unique) - len(good)


def similarity_scores(pictures: Sequence[Image]) -> npt.NDArray[np.float64]:
    """How much each frame of a cine resembles the others: minus its mean squared error to each of them, averaged.

    These are the row means of the study's frame similarity matrix (section 3.7.2) without the diagonal. The matrix
    itself is not needed: with q_i the sum of squares of frame i, s the sum of all frames and T their number,
    sum_j |x_i - x_j|^2 = T q_i + sum_j q_j - 2 x_i . s. All of it is in whole numbers, so nothing is rounded before
    the last division, and equal frames score equally.

    Args:
        pictures: T prepared frames (side, side) uint8.

    Returns:
        (T,) in squared grey levels, 0 or less; zeros for a single frame.
    """
    pixels, total = pictures[0].size, len(pictures)
    together = np.sum(pictures, axis=0, dtype=np.int64).reshape(-1)
    squares, crossed = np.zeros(total, np.int64), np.zeros(total, np.int64)
    for number, picture in enumerate(pictures):
        flat = picture.reshape(-1).astype(np.int64)
        squares[number], crossed[number] = flat @ flat, flat @ together
    return -(total * squares + squares.sum() - 2 * crossed) / (pixels * max(total - 1, 1))


def dissimilar(pictures: Sequence[Image]) -> list[int]:
    """Numbers of the frames of which the similarity score lies below the 0.25 quantile of the cine's scores (linear
    between neighbours); the first of the least similar where none does, as in a cine of one or two frames or of equal
    ones.

    Args:
        pictures: see `similarity_scores`.
    """
    scores = similarity_scores(pictures)
    below = np.flatnonzero(scores < np.quantile(scores, QUANTILE))
    return [int(number) for number in below] or [int(scores.argmin())]


def _by_mark(record: Record, is_cine: bool, params: IngestParams) -> bool:
    """Whether the release's marks choose the frames. In a release of stills they always do: there a cine stands in for
    stills that are missing."""
    return params.frames == "marked" if is_cine else bool(record.marked)


def _choose(record: Record, is_cine: bool, key: "Seed", params: IngestParams, total: int) -> Sequence[int]:
    """Numbers of the frames to decode; for `dissimilar` all of them."""
    if not is_cine and not record.marked:
        return [0]
    if is_cine and params.frames == "spaced":
        return spaced(total, params.frames_per_cine)
    if is_cine and params.frames == "dissimilar":
        return range(total)
    marks = list(marked(total, record.marked)[0]) if _by_mark(record, is_cine, params) else []
    if not is_cine and not marks:
        raise EchosynthError(f"{record.path} has {total} frames, but none that the release marks; copy it again")
    return marks or [int(np.random.default_rng(key).integers(total))]


def decoded(
    record: Record, is_cine: bool, key: "Seed", params: IngestParams, usable: float
) -> tuple[list[Picture], dict[str, Any]]:
    """Decode the chosen frames of a file one at a time and prepare them, in this process.

    Args:
        record: the file.
        is_cine: whether frames are chosen by `params.frames`; else the marked ones or, of a still, the only one.
        key: seed of the random frame, of this file alone, so that others coming or going change nothing.
        params: section ingest.
        usable: see `echosynth.media.decode.read_stream`.

    Returns:
        The pictures, and what `Reading` holds beside them.

    Raises:
        EchosynthError: the file cannot be read.
    """
    stream = read_stream(record.path, lambda total: _choose(record, is_cine, key, params, total), usable)
    pictures: list[Image] = []
    height = width = 0
    enlarged = False
    spacing = stream.spacing if params.square_pixels else None
    for native in stream.frames:
        height, width = native.shape[:2]
        if min(height, width) < params.size:
            enlarged = min(square_pixels(to_grey(native), spacing).shape) < params.size
        pictures.append(prepare(native, params.size, spacing, params.resampling))
    places = dissimilar(pictures) if is_cine and params.frames == "dissimilar" else range(len(pictures))
    by_mark = _by_mark(record, is_cine, params)
    moments, lost = marked(stream.total, record.marked) if by_mark else ({}, 0)
    flat = sum(int(np.ptp(pictures[place])) <= FLAT for place in places)
    used = stream.used
    found = [
        Picture(number, moments.get(number, record.moment), picture)
        for number, picture in ((used[place], pictures[place]) for place in places)
    ]
    return found, {
        "frames": stream.total,
        "width": width,
        "height": height,
        "marks_lost": lost,
        "enlarged": enlarged,
        "flat": flat,
        "squared": not is_square(spacing),
        "lost": len(stream.lost),
    }


def encoded(pictures: Iterable[Picture], facts: Mapping[str, Any]) -> Reading:
    """Put pictures and facts together."""
    from echosynth.imagesets.store import encode, pixel_hash  # here: the child process does without pandas

    return Reading(
        tuple(Taken(one.frame, one.moment, pixel_hash(one.pixels), encode(one.pixels)) for one in pictures), **facts
    )


def read_record(
    record: Record, is_cine: bool, key: "Seed", params: IngestParams, limits: DecodingParams = LIMITS
) -> Reading:
    """Decode the chosen frames of a file one at a time and prepare them, in a child process; then encode them.

    Args:
        record: see `decoded`.
        is_cine: see there.
        key: see there.
        params: see there.
        limits: section decoding.

    Returns:
        The pictures, or the error: one bad file must not stop the others.
    """
    try:
        return _read_apart(record, is_cine, key, params, limits)
    except EchosynthError as error:
        return Reading(error=str(error))


def _read_apart(record: Record, is_cine: bool, key: "Seed", params: IngestParams, limits: DecodingParams) -> Reading:
    pictures: list[Picture] = []
    facts: dict[str, Any] = {}
    arguments: dict[str, Any] = {
        "path": str(record.path),
        "moment": record.moment,
        "marked": record.marked,
        "is_cine": is_cine,
        "key": key,
        "params": params.model_dump(),
        "pixels": limits.pixels,
        "usable": limits.usable,
    }
    with DECODERS.job(f"{__name__}:serve", str(record.path), limits, **arguments) as job:
        while found := job.receive(params.size**2):
            facts, pixels = found
            if pixels:
                picture = np.frombuffer(pixels, np.uint8).reshape(params.size, params.size)
                pictures.append(Picture(facts["frame"], facts["moment"], picture))
    return encoded(pictures, facts)


def serve(
    channel: Channel,
    payload: bytearray,
    path: str,
    moment: Literal["", "ED", "ES"],
    marked: list[tuple[Moment, int]],
    is_cine: bool,
    key: list[int],
    params: dict[str, Any],
    pixels: int,
    usable: float,
) -> None:
    """The child's part of `read_record`: a message for each picture, then one about the file."""
    allow_pixels(pixels)
    marks = tuple((which, number) for which, number in marked)
    record = Record(Path(path), "", "", "file", moment, marked=marks)
    pictures, facts = decoded(record, is_cine, (key[0], key[1]), IngestParams.model_validate(params), usable)
    for one in pictures:
        channel.send({"frame": one.frame, "moment": one.moment}, np.ascontiguousarray(one.pixels).data)
    channel.send(facts)
