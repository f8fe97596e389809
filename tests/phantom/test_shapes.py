import numpy as np
import pytest

from echosynth.phantom.shapes import Cylinder, Ellipsoid, Funnel


def _points(*points: tuple[float, float, float]) -> np.ndarray:
    return np.array(points, np.float32).T


def test_sphere_distance_is_exact_and_turning_an_ellipsoid_moves_its_long_axis() -> None:
    sphere = Ellipsoid((1.0, 2.0, 3.0), (5.0, 5.0, 5.0))
    assert sphere.distance(_points((1, 2, 13), (1, 4, 3))) == pytest.approx([5.0, -3.0], abs=1e-4)
    turned = Ellipsoid((0, 0, 0), (10.0, 2.0, 2.0), angle=float(np.pi / 2))
    assert turned.distance(_points((0, 8, 0), (8, 0, 0)))[0] < 0 < turned.distance(_points((0, 8, 0), (8, 0, 0)))[1]


def test_cylinder_distance_ignores_the_position_along_its_axis() -> None:
    tube = Cylinder((0, 0, 0), (0.0, 0.6, 0.8), 2.0)
    assert tube.distance(_points((5, 0, 0), (5, 60, 80))) == pytest.approx([3.0, 3.0], abs=1e-3)


def test_funnel_is_a_cone_from_ring_to_tip() -> None:
    valve = Funnel((0, 0, 0), (0.0, 0.0, 1.0), ring=10.0, tip=4.0, height=6.0, thickness=2.0)
    on_mantle, on_axis = valve.distance(_points((7, 0, 3), (0, 0, 6)))
    assert on_mantle == pytest.approx(-1.0, abs=1e-4)
    assert on_axis == pytest.approx(4.0 - 1.0, abs=1e-4)
