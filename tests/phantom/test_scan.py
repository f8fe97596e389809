import numpy as np
import pytest

from echosynth.phantom.scan import Geometry, scan_convert

SECTOR = Geometry(width=101, height=100, apex=(50.0, 0.0), radius=96.0, half_angle=0.7, samples=192, beams=96)


def test_sector_is_filled_and_its_corners_are_black() -> None:
    picture = scan_convert(np.full((192, 96), 200, np.uint8), SECTOR)
    y, x = np.mgrid[:100, :101].astype(float)
    angle, radius = np.arctan2(x - 50, y), np.hypot(x - 50, y)
    assert (picture[(np.abs(angle) < 0.68) & (radius > 2) & (radius < 94)] == 200).all()
    assert (picture[(np.abs(angle) > 0.72) | (radius > 98)] == 0).all()


def test_a_point_lands_where_its_beam_and_depth_say() -> None:
    beams = np.zeros((192, 96), np.uint8)
    beams[118:122, 78:82] = 255
    y, x = (axis.mean() for axis in np.nonzero(scan_convert(beams, SECTOR) > 100))
    angle, radius = SECTOR.angles()[78:82].mean(), SECTOR.depths(96.0)[118:122].mean()
    assert (x, y) == pytest.approx((50 + radius * np.sin(angle), radius * np.cos(angle)), abs=1.0)
    plane = np.array([[radius * np.sin(angle), radius * np.cos(angle)]])
    assert SECTOR.pixels(plane, 96.0)[0] == pytest.approx((x, y), abs=1.0)


def test_wide_pixels_make_a_narrow_picture() -> None:
    wide = Geometry(
        width=101, height=100, apex=(50.0, 0.0), radius=96.0, half_angle=0.7, samples=192, beams=96, aspect=2.0
    )
    full = np.full((192, 96), 200, np.uint8)
    widths = [int((scan_convert(full, geometry)[60] > 0).sum()) for geometry in (SECTOR, wide)]
    assert widths[1] == pytest.approx(widths[0] / 2, abs=2)
