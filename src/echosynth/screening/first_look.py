"""What the first frame of a file tells: how large it is, how many follow, and what its colours are.

Apart from what the stage itself needs, as every process that decodes imports this module.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.media.apart import read_frame
from echosynth.media.options import DecodingParams
from echosynth.screening.colour import difference_histogram, grey_share, judge
from echosynth.screening.options import ReviewParams


@dataclass(frozen=True)
class FirstLook:
    """What the first frame of a file told.

    Attributes:
        frames: number of frames in the file, 0 when it cannot be read.
        width: of a native frame in pixels.
        height: of a native frame in pixels.
        error: why it cannot be read, a sentence with the file's name; "" when it can.
    """

    frames: int = 0
    width: int = 0
    height: int = 0
    error: str = ""


@dataclass(frozen=True)
class Measures:
    """What is kept of the colours of a first frame: numbers whose size does not depend on the frame's.

    Attributes:
        histogram: see `echosynth.screening.colour.difference_histogram`.
        grey_share: see `echosynth.screening.colour.grey_share`.
        coloured_share: see `echosynth.screening.colour.Verdict`.
        usable: whether the rule of `echosynth.screening.colour.judge` would use the recording.
        reason: what it finds remarkable.
    """

    histogram: npt.NDArray[np.uint32]
    grey_share: float
    coloured_share: float
    usable: bool
    reason: str


Look = tuple[FirstLook, Measures | None]


def _measures(frame: Image, review: ReviewParams) -> Measures:
    verdict = judge(frame, review.coloured_share)
    histogram = difference_histogram(frame)
    return Measures(
        histogram.astype(np.uint32),
        grey_share(histogram, review.grey_difference),
        verdict.coloured_share,
        verdict.usable,
        verdict.reason,
    )


def _look(path: Path, review: ReviewParams | None, limits: DecodingParams) -> Look:
    try:
        clip = read_frame(path, limits)
    except EchosynthError as error:
        return FirstLook(error=str(error)), None
    height, width = clip.frames.shape[1:3]
    return FirstLook(clip.total, width, height), _measures(clip.frames[0], review) if review else None


@dataclass(frozen=True)
class Batch:
    """Files that a process looks at in one go.

    Attributes:
        start: number of the first.
        paths: the files.
        review: section review; None: their colours are not measured.
        limits: section decoding.
    """

    start: int
    paths: list[Path]
    review: ReviewParams | None
    limits: DecodingParams


def look_at_batch(batch: Batch) -> tuple[int, list[Look]]:
    """Decode and measure the first frame of each file; there are no measures of an unreadable one."""
    return batch.start, [_look(path, batch.review, batch.limits) for path in batch.paths]
