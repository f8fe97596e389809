import cv2
import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.imagesets.prepare import centre_crop, grey_levels, prepare, resize, square_pixels, to_grey


def waves(side: int, periods: float) -> np.ndarray:
    x = (np.arange(side) + 0.5) / side
    return (127.5 + 100 * np.sin(2 * np.pi * periods * x)[None, :] * np.ones((side, 1))).astype(np.uint8)


def test_grey_weighs_the_channels_in_the_order_red_green_blue():
    frame = np.zeros((2, 3, 3), np.uint8)
    frame[..., 0] = 200
    assert np.all(to_grey(frame) == round(0.299 * 200))
    assert to_grey(frame[..., 0]) is not None and np.array_equal(to_grey(frame[..., 0]), frame[..., 0])


@pytest.mark.parametrize("frame", [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 4), np.uint8)])
def test_what_is_no_picture_is_refused(frame):
    with pytest.raises(EchosynthError, match="no 8-bit grey or RGB picture"):
        to_grey(frame)


def test_grey_levels_are_the_nearest_that_there_are():
    levels = grey_levels(np.array([[-3.0, 0.49, 0.51], [254.6, 255.4, 300.0]]))
    assert levels.dtype == np.uint8 and levels.tolist() == [[0, 0, 1], [255, 255, 255]]


def test_the_crop_is_centred():
    frame = np.arange(6 * 10, dtype=np.uint8).reshape(6, 10)
    assert np.array_equal(centre_crop(frame), frame[:, 2:8])
    assert np.array_equal(centre_crop(frame.T), frame.T[2:8])


def test_a_disc_in_anisotropic_pixels_becomes_round():
    x, y = (np.arange(100) - 49.5) * 0.308, (np.arange(300) - 149.5) * 0.154
    frame = np.where(x[None, :] ** 2 + y[:, None] ** 2 < 10**2, 200, 0).astype(np.uint8)
    square = square_pixels(frame, (0.308, 0.154))
    assert square.shape == (300, 200)
    wide, high = (square > 100).any(axis=0).sum(), (square > 100).any(axis=1).sum()
    assert abs(int(wide) - int(high)) <= 2
    tall = square_pixels(frame.T.copy(), (0.154, 0.308))
    assert np.array_equal(tall, square.T)


def test_square_pixels_stay_as_they_are():
    frame = waves(20, 2)
    assert square_pixels(frame, None) is frame
    assert square_pixels(frame, (0.51, 0.512)) is frame


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0), (1.0, 20.0)])
def test_senseless_spacing_is_refused(spacing):
    with pytest.raises(EchosynthError, match="make no sense"):
        square_pixels(waves(8, 1), spacing)


@pytest.mark.parametrize("side", [224, 300, 768])
def test_what_the_small_picture_cannot_show_does_not_alias(side):
    # 0.45 periods a source pixel lie far above what 112 pixels can carry; the input's standard deviation is 71.
    assert resize(waves(side, 0.45 * side), 112, "area-cubic").std() < 20


def test_the_study_s_one_cubic_step_is_opencv_s_and_aliases():
    fine = waves(768, 0.45 * 768)
    plain = resize(fine, 112, "cubic")
    assert np.array_equal(plain, cv2.resize(fine, (112, 112), interpolation=cv2.INTER_CUBIC))
    assert plain.std() > 2 * resize(fine, 112, "area-cubic").std()


@pytest.mark.parametrize("side", [112, 150, 224, 500, 768])
def test_what_it_can_show_survives_in_its_place(side):
    found, expected = resize(waves(side, 5), 112, "area-cubic"), waves(112, 5)
    assert found.shape == (112, 112) and found.dtype == np.uint8
    # One grey level of the phase that truncation and interpolation may shift.
    assert np.abs(found.astype(int) - expected).max() <= 4


def test_a_picture_of_the_right_size_is_not_touched():
    frame = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    assert np.array_equal(prepare(frame, 32), frame)


def test_prepare_goes_all_the_way():
    frame = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    assert prepare(frame, 112, (0.1, 0.2)).shape == (112, 112)
    for resampling in ("cubic", "area-cubic"):
        whole = prepare(frame, 16, None, resampling)
        assert np.array_equal(whole, resize(centre_crop(to_grey(frame)), 16, resampling))
    assert not np.array_equal(prepare(frame, 16, None, "cubic"), prepare(frame, 16, None, "area-cubic"))
