"""The ultrasound sector of a picture, found from its pixels alone."""

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.common.arrays import Image, Images

LIT = 3  # grey levels above which a smoothed pixel is not background
BRIGHT = 3 * LIT  # grey levels that count no more than this: smoothed, a bright letter would be as thick as tissue
SMOOTHING = 1 / 64  # of the side: deviation of the Gaussian
THIN = 1 / 16  # of the side: letters, traces and depth marks are thinner, tissue is not
SMALLEST = 2  # squares of that thickness that a patch of tissue has at least


def sector(image: Image) -> npt.NDArray[np.bool_]:
    """Find the sector of one picture.

    Whatever is lit and not thin is tissue; the sector is its convex hull, made symmetric about the beam below its
    topmost point, since shadows darken one side of a sector and not its shape. Letters, traces and marks outside stay
    background, unless they touch the tissue.

    Args:
        image: (S, S) uint8, of 32 pixels a side or more; the transducer is above.

    Returns:
        (S, S) bool; nowhere true where nothing is lit.
    """
    side = len(image)
    thick, outside = round(side * THIN), {"borderType": cv2.BORDER_CONSTANT}  # black
    lit = (cv2.GaussianBlur(np.minimum(image, BRIGHT), (0, 0), side * SMOOTHING, **outside) > LIT).astype(np.uint8)
    _, parts, facts, _ = cv2.connectedComponentsWithStats(_thick_parts(lit, thick))
    large = np.flatnonzero(facts[:, cv2.CC_STAT_AREA] >= SMALLEST * thick**2)
    rows, columns = np.nonzero(np.isin(parts, large[large > 0]))  # part 0 is all that is not lit
    found = np.zeros_like(lit)
    if len(rows):
        beam = columns[rows == rows.min()].mean()
        both_sides = np.concatenate([columns, np.rint(2 * beam - columns).astype(np.int64)])
        points = np.stack([both_sides, np.tile(rows, 2)], 1).astype(np.int32)
        cv2.fillConvexPoly(found, cv2.convexHull(points), 1)
        # The tip is thin too, and what is next to an edge holds some of it.
        found = cv2.dilate(found, np.ones((3, 3), np.uint8), iterations=max(1, thick // 3))
    return found.astype(bool)


def _thick_parts(lit: Image, thick: int) -> Image:
    """What squares of side `thick` can cover without leaving what is lit (a morphological opening)."""
    square, anchor = np.ones((thick, thick), np.uint8), thick // 2
    # Twice the same anchor, as `cv2.morphologyEx` has it, would move the picture where `thick` is even.
    back = thick - 1 - anchor
    return cv2.dilate(cv2.erode(lit, square, anchor=(anchor, anchor)), square, anchor=(back, back))


def sectors(images: Images) -> npt.NDArray[np.bool_]:
    """Find the sectors (N, S, S) of several pictures (N, S, S); see `sector`."""
    return np.stack([sector(image) for image in images])
