"""Signed distances to the simple bodies that the heart is made of. Points are (3, ...) in mm, heart coordinates."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid whose third axis is parallel to z.

    Attributes:
        centre: mm.
        axes: semi-axes in mm; the first points along `angle`.
        angle: direction of the first axis in the xy plane, radians.
    """

    centre: Vector
    axes: Vector
    angle: float = 0.0

    def distance(self, points: Field) -> Field:
        """Signed distance in mm, below 0 inside: first-order, k0 (k0 - 1) / k1 with k0 = |q / s|, k1 = |q / s^2|."""
        x, y, z = (points[i] - np.float32(self.centre[i]) for i in range(3))
        if self.angle:
            cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
            x, y = cos * x + sin * y, cos * y - sin * x
        a, b, c = (np.float32(1 / axis) for axis in self.axes)
        x, y, z = x * a, y * b, z * c
        k0 = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
        x, y, z = x * a, y * b, z * c
        k1 = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
        return np.asarray(k0 * (k0 - 1) / k1)


@dataclass(frozen=True)
class Cylinder:
    """An endless cylinder: a point on its axis, the unit direction of the axis, the radius in mm."""

    point: Vector
    direction: Vector
    radius: float

    def distance(self, points: Field) -> Field:
        """Signed distance in mm, below 0 inside."""
        radial, _ = around(points, self.point, self.direction)
        return radial - np.float32(self.radius)


@dataclass(frozen=True)
class Funnel:
    """Valve leaflets: the mantle of a cone from the ring of the annulus to the ring of the leaflets' tips.

    Attributes:
        centre: of the annulus, mm.
        direction: unit vector towards the tips.
        ring: radius of the annulus, mm.
        tip: radius of the opening, mm; near 0 when the valve is closed.
        height: how far the tips stand from the annulus, mm.
        thickness: of a leaflet, mm.
    """

    centre: Vector
    direction: Vector
    ring: float
    tip: float
    height: float
    thickness: float

    def distance(self, points: Field) -> Field:
        """Signed distance in mm to the leaflets, below 0 inside them."""
        radial, along = around(points, self.centre, self.direction)
        dr, dz = np.float32(self.tip - self.ring), np.float32(self.height)
        radial -= np.float32(self.ring)
        share = np.clip((radial * dr + along * dz) / (dr * dr + dz * dz), 0, 1)
        return np.hypot(radial - share * dr, along - share * dz) - np.float32(self.thickness / 2)


def around(points: Field, centre: Vector, direction: Vector) -> tuple[Field, Field]:
    """Distance from the line through `centre` along the unit vector `direction`, and the position along it, both in
    mm."""
    x, y, z = (points[i] - np.float32(centre[i]) for i in range(3))
    u, v, w = (np.float32(part) for part in direction)
    along = u * x + v * y + w * z
    return np.sqrt(np.maximum(x * x + y * y + z * z - along * along, 0)), along
