"""Contact sheets."""

import numpy as np

from echosynth.imagesets.tiles import contact_grid


def test_pictures_lie_row_by_row_on_white() -> None:
    sheet = contact_grid(np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 3), np.uint8), 3)
    assert sheet.shape == (2 * 3 - 1, 3 * 4 - 1)
    assert sheet[0, 0] == 0
    assert sheet[0, 4] == 1
    assert sheet[3, 4] == 4
    assert (sheet[3:, 8:] == 255).all()  # no picture
    assert (sheet[2] == 255).all()  # the gap
