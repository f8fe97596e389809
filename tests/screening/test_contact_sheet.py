import cv2
import numpy as np
import pytest

from echosynth.screening.contact_sheet import BANDS, PER_PAGE, PICTURE, Tile, fitted, page, write_sheets


def tile(proposal: str = "keep", level: int = 100, **_: object) -> Tile:
    return Tile(np.full((60, 80), level, np.uint8), proposal, ("1: 3 recordings", proposal.upper()))


@pytest.mark.parametrize("shape", [(112, 112), (600, 800, 3), (20, 10), (1, 500, 3)])
def test_a_frame_of_any_shape_fits_and_keeps_it(shape):
    frame = np.full(shape, 200, np.uint8)
    found = fitted(frame, 128)
    assert found.shape == (128, 128, 3)
    filled = found[..., 0] > 0
    height, width = filled.any(axis=1).sum(), filled.any(axis=0).sum()
    assert max(height, width) == 128
    assert height / width == pytest.approx(max(shape[0] / shape[1], 1 / 128), rel=0.05)


def test_the_band_and_the_text_say_what_is_proposed():
    for proposal, colour in BANDS.items():
        drawn = page([tile(proposal)])
        assert drawn[0, drawn.shape[1] // 2].tolist() == list(colour)
    keep, drop = page([tile("keep")]), page([tile("drop")])
    assert not np.array_equal(keep[PICTURE + 8 :].mean(axis=2) < 250, drop[PICTURE + 8 :].mean(axis=2) < 250)


def test_tiles_fill_rows_of_ten():
    one, eleven = page([tile()]), page([tile(level=5 * number) for number in range(11)])
    assert eleven.shape == (2 * one.shape[0], 10 * one.shape[1], 3)
    assert (eleven[one.shape[0] :, one.shape[1] :] == 255).all()


def test_many_tiles_make_pages(tmp_path):
    names = write_sheets(tmp_path, (tile() for _ in range(PER_PAGE + 1)))
    assert names == ["sheet.png", "sheet-2.png"]
    shapes = [cv2.imread(str(tmp_path / name)).shape for name in names]
    assert shapes[0][0] == 10 * shapes[1][0] and shapes[0][1] == 10 * shapes[1][1]
    assert write_sheets(tmp_path, iter(())) == []


def test_colours_are_not_swapped(tmp_path):
    frame = np.zeros((PICTURE, PICTURE, 3), np.uint8)
    frame[..., 0] = 250
    write_sheets(tmp_path, [Tile(frame, "keep", ())])
    assert cv2.imread(str(tmp_path / "sheet.png"))[60, 60].tolist() == [0, 0, 250]
