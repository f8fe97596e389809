"""Many small pictures as one."""

import numpy as np

from echosynth.imagesets.store import Images


def contact_grid(images: Images, columns: int, gap: int = 1) -> Images:
    """Lay pictures out row by row on white.

    Args:
        images: (N, H, W) uint8.
        columns: pictures in a row.
        gap: pixels between them.

    Returns:
        (H', W') uint8.
    """
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet
