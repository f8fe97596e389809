"""From a decoded frame of any size to the small square grey picture that every network of the project sees."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image
from echosynth.common.errors import EchosynthError
from echosynth.imagesets.options import Resampling

# Spacings this close count as equal; a ratio beyond the other bound is a broken header.
SAME_SPACING, LARGEST_RATIO = 0.01, 10.0


def to_grey(frame: Image) -> Image:
    """(H, W) as it is; (H, W, 3) RGB to grey with the weights of ITU-R BT.601. Both uint8.

    Raises:
        EchosynthError: any other shape or type, or no pixels.
    """
    if frame.dtype == np.uint8 and frame.size:
        if frame.ndim == 2:
            return frame
        if frame.ndim == 3 and frame.shape[2] == 3:
            return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    raise EchosynthError(f"a frame of shape {frame.shape} and type {frame.dtype} is no 8-bit grey or RGB picture")


def grey_levels(values: npt.NDArray[np.floating[Any]]) -> Image:
    """Round numbers (any shape) to the nearest grey level from 0 to 255, uint8."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def is_square(spacing: tuple[float, float] | None) -> bool:
    """Whether a pixel is as wide as it is high, within 1 %; None, an unknown spacing, counts as square."""
    return spacing is None or abs(spacing[0] / spacing[1] - 1) <= SAME_SPACING


def square_pixels(frame: Image, spacing: tuple[float, float] | None) -> Image:
    """Enlarge the coarser axis so that a pixel becomes as wide as it is high; nothing is lost on the finer axis.

    Args:
        frame: (H, W) grey uint8.
        spacing: width and height of a pixel, in any common unit; None: square already.

    Raises:
        EchosynthError: a spacing that no scanner has: not positive, or one side more than ten times the other.
    """
    if spacing is None:
        return frame
    x, y = spacing
    if not (x > 0 and y > 0 and max(x / y, y / x) <= LARGEST_RATIO):
        raise EchosynthError(f"pixels of {x} x {y} mm make no sense; correct the spacing in the file's header")
    if is_square(spacing):
        return frame
    height, width = frame.shape
    size = (round(width * max(1, x / y)), round(height * max(1, y / x)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def centre_crop(frame: Image) -> Image:
    """The largest centred square of an (H, W) picture."""
    height, width = frame.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]


def resize(square: Image, size: int, resampling: Resampling) -> Image:
    """A square picture at (size, size), by cubic interpolation as in the study.

    OpenCV's cubic kernel spans four pixels of the source whatever the factor: from 768 to 112 it skips most of them,
    and what is left of the speckle depends on the native size, which tells the source and so, in this study, the view.
    With "area-cubic", pictures of more than twice the target are averaged over areas to exactly twice the target
    first; the cubic step from there is the same for all sources. "cubic" is the study's one step.
    """
    side = square.shape[0]
    if side == size:
        return square.copy()
    if resampling == "area-cubic" and side > 2 * size:
        square = np.asarray(cv2.resize(square, (2 * size, 2 * size), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(square, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def prepare(
    frame: Image,
    size: int,
    spacing: tuple[float, float] | None = None,
    resampling: Resampling = "area-cubic",
    square: bool = True,
) -> Image:
    """Grey, square pixels, centre crop, cubic resize: the one preprocessing for ingest, prediction and the served
    model.

    Args:
        frame: (H, W) grey or (H, W, 3) RGB, uint8, of any size; one smaller than `size` is enlarged.
        size: side of the result in pixels.
        spacing: width and height of a pixel in mm, where it is known.
        resampling: see `resize`.
        square: whether pixels are made square (see `square_pixels`); else the spacing does not count.

    Returns:
        (size, size) uint8.

    Raises:
        EchosynthError: the frame is no such picture or its spacing makes no sense.
    """
    return resize(centre_crop(square_pixels(to_grey(frame), spacing if square else None)), size, resampling)
