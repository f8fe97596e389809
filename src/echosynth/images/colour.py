"""Which recordings are no plain 2-D picture: colour Doppler, false colours, two pictures side by side.

A rule on the first frame, from the per-pixel largest difference between colour channels as in section 3.7.1 of the
study.
"""

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.images.prepare import Picture, to_grey

COLOURED, SPLIT = "colour", "split picture"
# Grey levels: channels of grey video differ by a few after JPEG, Doppler colours by a hundred.
STRONG_COLOUR = 50
# Darker pixels have no hue to speak of.
VISIBLE = 32
# A share is as good from every n-th pixel; so many are enough along a side.
ENOUGH = 200
# A stronger cast than this (largest difference between the channels' shares of the sum) is no tint of a display.
TINT_LIMIT = 0.3
# Of a split picture: where the gap may lie, how wide it is at least, how wide each half is, all as shares of the width;
# how alike the widths are; and the share of visible pixels up to which a column is empty.
GAP_BETWEEN, GAP_WIDTH, HALF_WIDTH, ALIKE, EMPTY = (0.4, 0.6), 0.01, 0.2, 0.75, 0.01


def coloured_share(frame: Picture) -> float:
    """Share of strongly coloured pixels of an (H, W[, 3]) frame, 0 to 1, after taking off a uniform tint.

    A tint multiplies the channels by fixed factors, so that every pixel has the same shares of red, green and blue;
    the median over the visible pixels is that of the tissue as long as colour covers less than half of it.
    """
    if frame.ndim == 2:
        return 0.0
    step = max(1, min(frame.shape[:2]) // ENOUGH)
    pixels = frame[::step, ::step].astype(np.float32)
    total = pixels.sum(axis=2, keepdims=True)
    visible = pixels.max(axis=2) > VISIBLE
    if not visible.any():
        return 0.0
    tint: npt.NDArray[np.float32] = np.median(pixels[visible] / total[visible], axis=0)
    if np.ptp(tint) > TINT_LIMIT:
        tint = np.full(3, 1 / 3, np.float32)
    difference = np.ptp(pixels - total * tint / tint.sum(), axis=2)
    return float((difference > STRONG_COLOUR).mean())


def is_split(frame: Picture) -> bool:
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


def unusable(first_frame: Picture, doppler_share: float) -> str | None:
    """Why a recording is left out: `COLOURED`, `SPLIT`, or None when it is fine.

    Args:
        first_frame: (H, W) grey or (H, W, 3) RGB uint8.
        doppler_share: share of strongly coloured pixels from which on a recording is left out.
    """
    if coloured_share(first_frame) >= doppler_share:
        return COLOURED
    return SPLIT if is_split(first_frame) else None
