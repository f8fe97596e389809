"""The sector of a picture, against pictures whose sector is known."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from echosynth.imagesets.sector import sector, sectors


def drawn(side: int, seed: int, shadow: bool = False) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """A sector of speckle with a cavity, a line of letters below it and a scale at the right; and where it is."""
    truth = np.zeros((side, side), np.uint8)
    apex, radius = (side // 2, round(side * 0.05)), round(side * 0.7)
    cv2.ellipse(truth, apex, (radius, radius), 90, -35, 35, 1, -1)
    image = np.random.default_rng(seed).gamma(2, 40, (side, side)).clip(0, 255) * truth
    cv2.circle(image, (side // 2, side // 2), side // 8, 0, -1)
    if shadow:
        dark = np.zeros_like(truth)
        cv2.ellipse(dark, apex, (radius, radius), 90, 18, 35, 1, -1)
        image[dark > 0] = 0
    image[-2 - side // 32 : -2, 2 : side // 2] = 200
    image[:: side // 4, -2:] = 120
    return image.astype(np.uint8), truth.astype(bool)


@pytest.mark.parametrize("side", [32, 48, 64, 112])
@pytest.mark.parametrize("shadow", [False, True])
def test_the_sector_is_found_without_letters_and_marks(side: int, shadow: bool) -> None:
    for seed in range(3):
        image, truth = drawn(side, seed, shadow)
        found = sector(image)
        assert found[truth].mean() > 0.97  # nothing of the sector is lost, in the shadow neither
        assert truth[found].mean() > 0.7  # and little is added: a pixel or two along the edge
        assert not found[-2 - side // 32 :].any()  # the letters
        assert not found[:, -2:].any()  # the scale


def test_brightness_matters_little_and_a_picture_moves_its_sector_along() -> None:
    image, _ = drawn(64, 0)
    found = sector(image)
    assert (found & sector(image // 3)).sum() / (found | sector(image // 3)).sum() > 0.9
    assert np.array_equal(sector(np.roll(image, 3, axis=1))[:60, 8:56], np.roll(found, 3, axis=1)[:60, 8:56])


def test_a_dark_picture_has_no_sector() -> None:
    found = sectors(np.zeros((2, 32, 32), np.uint8))
    assert found.shape == (2, 32, 32)
    assert not found.any()
