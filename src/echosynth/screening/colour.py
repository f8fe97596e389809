"""Which recordings are no plain 2-D picture: colour Doppler, garish pseudo-colour, two pictures side by side.

A rule on the first frame, from the per-pixel largest difference between colour channels as in section 3.7.1 of the
study.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image
from echosynth.imagesets.prepare import to_grey

LEVELS = 256  # of the difference between colour channels
# Why a recording is proposed to be left out.
DOPPLER, SPLIT, ODD = "colour Doppler", "split picture", "odd colours"
# What is remarkable about one that can be used all the same.
TINT, OVERLAY = "usable tint", "little colour"
# Grey levels: channels of grey video differ by a few after JPEG, Doppler colours by a hundred.
STRONG_COLOUR = 50
# Darker pixels have no hue to speak of.
VISIBLE = 32
# A share is as good from every n-th pixel; so many are enough along a side.
ENOUGH = 200
# Colour Doppler covers a part of the tissue; a garish map gives a hue to nearly all that is visible. In the phantoms
# Doppler reaches 0.46 of the visible pixels and garish maps begin at 0.99.
ODD_SHARE, WEAK_COLOUR = 0.7, 30
# Weakest cast that is called a tint; that of a grey video is a rounding error.
TINT_CAST = 0.02
# A stronger cast than this (largest difference between the channels' shares of the sum) is no tint of a display.
TINT_LIMIT = 0.3
# Of a split picture: where the gap may lie, how wide it is at least, how wide each half is, all as shares of the width;
# how alike the widths are; and the share of visible pixels up to which a column is empty.
GAP_BETWEEN, GAP_WIDTH, HALF_WIDTH, ALIKE, EMPTY = (0.4, 0.6), 0.01, 0.2, 0.75, 0.01


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a recording.

    Attributes:
        usable: whether it can be used.
        reason: what is remarkable about it; "" when nothing is.
        coloured_share: share of strongly coloured pixels of its first frame, 0 to 1, after taking off a uniform tint.
    """

    usable: bool
    reason: str
    coloured_share: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class _Colours:
    """How far each pixel's colour is from that of the whole picture.

    Attributes:
        difference: (h, w) largest difference between the channels after taking off a uniform tint, grey levels.
        visible: (h, w) whether the pixel is bright enough to have a hue.
        cast: largest difference between the channels' shares of the sum, of the median visible pixel.
    """

    difference: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    cast: float


def _colours(frame: Image) -> _Colours | None:
    """Measure an (H, W[, 3]) frame on every n-th pixel; None when it is grey or black.

    A tint multiplies the channels by fixed factors, so that every pixel has the same shares of red, green and blue;
    the median over the visible pixels is that of the tissue as long as colour covers less than half of it.
    """
    if frame.ndim == 2:
        return None
    step = max(1, min(frame.shape[:2]) // ENOUGH)
    # Channels in front: NumPy is many times slower along a last axis of three.
    planes = np.moveaxis(frame[::step, ::step], 2, 0).astype(np.float32, order="C")
    total = planes.sum(axis=0)
    visible = planes.max(axis=0) > VISIBLE
    if not visible.any():
        return None
    tint: npt.NDArray[np.float32] = np.median(planes[:, visible] / total[visible], axis=1)
    cast = float(np.ptp(tint))
    if cast > TINT_LIMIT:
        tint = np.full(3, 1 / 3, np.float32)
    planes -= total * tint[:, None, None] / tint.sum()
    return _Colours(np.ptp(planes, axis=0), visible, cast)


def difference_histogram(frame: Image) -> npt.NDArray[np.int64]:
    """Count the pixels by the maximum absolute difference between their colour channels.

    Args:
        frame: (H, W, 3) uint8, or (H, W) grey, of which all pixels count at 0.

    Returns:
        (256,) counts.
    """
    if frame.ndim == 2:
        return np.bincount([0], weights=[frame.size], minlength=LEVELS).astype(np.int64)
    first, second, third = cv2.split(frame)
    highest, lowest = cv2.max(cv2.max(first, second), third), cv2.min(cv2.min(first, second), third)
    return np.bincount(cv2.subtract(highest, lowest).ravel(), minlength=LEVELS).astype(np.int64)


def grey_share(histogram: npt.NDArray[np.integer[Any]], grey_difference: int) -> float:
    """Share of grey pixels of a frame, 0 to 1: approach (a) of section 3.7.1 of the study.

    Args:
        histogram: of the frame, from `difference_histogram`.
        grey_difference: channels of a grey pixel differ by no more than this, 0 to 255.
    """
    return float(histogram[: grey_difference + 1].sum() / histogram.sum())


def is_split(frame: Image) -> bool:
    """Whether two pictures of similar width stand side by side with an empty gap in the middle."""
    grey = to_grey(frame)
    width = grey.shape[1]
    filled = (grey > VISIBLE).mean(axis=0) > EMPTY
    # Depth ticks may stand in the gap: what is narrower than a gap is no picture.
    narrowest = np.ones((1, max(2, round(GAP_WIDTH * width))), np.uint8)
    filled = cv2.morphologyEx(filled[None].astype(np.uint8), cv2.MORPH_OPEN, narrowest)[0]
    columns = np.flatnonzero(filled)
    if not len(columns):
        return False
    first, last = int(columns[0]), int(columns[-1])
    # The widest step between neighbouring filled columns of which the middle lies in the middle of the picture.
    steps = np.diff(columns)
    middle = (columns[:-1] + steps / 2 >= GAP_BETWEEN[0] * width) & (columns[:-1] + steps / 2 <= GAP_BETWEEN[1] * width)
    if not middle.any():
        return False
    at = int(np.argmax(np.where(middle, steps, 0)))
    left, right = columns[at] - first + 1, last - columns[at + 1] + 1
    gap = steps[at] - 1
    return bool(
        gap >= max(1, GAP_WIDTH * width)
        and min(left, right) >= HALF_WIDTH * width
        and min(left, right) >= ALIKE * max(left, right)
    )


def judge(first_frame: Image, least_share: float) -> Verdict:
    """Whether a recording can be used, from its first frame alone.

    Args:
        first_frame: (H, W) grey or (H, W, 3) RGB uint8.
        least_share: share of strongly coloured pixels from which on a recording is left out for its colours.

    Returns:
        Not usable for `ODD` (nearly all that is visible has a hue), `SPLIT` or `DOPPLER` (strong colour in a part;
        often one hue alone, when blood flows one way); or usable, with `TINT`, `OVERLAY` (less strong colour than
        `least_share`) or "".
    """
    colours = _colours(first_frame)
    strong = 0.0 if colours is None else float((colours.difference > STRONG_COLOUR).mean())
    # Garish maps have columns of nearly black blue, which look empty: colours come before the gap.
    if colours is not None and strong >= least_share:
        if (colours.difference[colours.visible] > WEAK_COLOUR).mean() >= ODD_SHARE:
            return Verdict(False, ODD, strong)
        return Verdict(False, SPLIT if is_split(first_frame) else DOPPLER, strong)
    if is_split(first_frame):
        return Verdict(False, SPLIT, strong)
    if colours is not None and colours.cast > TINT_CAST:
        return Verdict(True, TINT, strong)
    return Verdict(True, OVERLAY if strong else "", strong)
