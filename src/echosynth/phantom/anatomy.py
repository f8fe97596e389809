"""The heart of one patient, and how it moves.

Heart coordinates in mm: z runs along the long axis of the left ventricle, from the apex (0) to the mitral plane and
on to the atria. In the xy plane, angles run as on a short-axis picture: 0 lateral, 60 anterior, 120 anteroseptal, 180
inferoseptal, 240 inferior, 300 inferolateral (the walls of the standard segments, Cerqueira et al.,
Circulation 2002).
"""

from dataclasses import dataclass

import numpy as np

from echosynth.phantom.knobs import ANATOMY, Rng
from echosynth.phantom.shapes import Cylinder, Ellipsoid, Funnel, Vector

LV_CENTRE = 0.62  # centre and long semi-axis of the LV ellipsoid, as a share of the cavity's length
OUTFLOW = np.deg2rad(120.0)  # the aortic root and the parasternal window lie on the anteroseptal side
TRICUSPID_OFFSET = 5.0  # the tricuspid valve sits nearer to the apex than the mitral, mm
PAPILLARY_ANGLES = (30.0, 235.0)
END_SYSTOLE = 0.37  # phase of the cycle; 0 is end diastole


@dataclass(frozen=True)
class Anatomy:
    """Sizes of one patient's heart at end diastole; units and meaning in `knobs.ANATOMY`."""

    length: float
    radius: float
    wall: float
    ejection: float
    shortening: float
    left_atrium: float
    right_ventricle: float
    right_atrium: float
    aorta: float
    septum: float
    axis: float
    cover: float


@dataclass(frozen=True)
class Heart:
    """The bodies of the heart at one moment; `base` and `tricuspid` are the z of the two valve planes."""

    base: float
    tricuspid: float
    wall: float
    endocardium: Ellipsoid
    epicardium: Ellipsoid
    left_atrium: Ellipsoid
    right_ventricle: Ellipsoid
    outflow_tract: Ellipsoid
    right_atrium: Ellipsoid
    aorta: Cylinder
    descending_aorta: Cylinder
    papillary: tuple[Ellipsoid, ...]
    valves: tuple[Funnel, ...]


def draw_anatomy(rng: Rng, difficulty: float) -> Anatomy:
    """A patient's anatomy."""
    return Anatomy(**{name: spread.draw(rng, difficulty) for name, spread in ANATOMY.items()})


def contraction(phase: float) -> float:
    """Contraction of the ventricles, 0 at end diastole (phase 0) to 1 at end systole.

    Ejection is a raised cosine; filling comes in two waves (early 70 %, atrial 30 %) with diastasis between them.
    """
    phase %= 1.0
    if phase <= END_SYSTOLE:
        return float(0.5 - 0.5 * np.cos(np.pi * phase / END_SYSTOLE))
    early = np.clip((phase - END_SYSTOLE - 0.04) / 0.22, 0, 1)
    atrial = np.clip((phase - 0.82) / 0.18, 0, 1)
    return float(1 - 0.7 * (0.5 - 0.5 * np.cos(np.pi * early)) - 0.3 * (0.5 - 0.5 * np.cos(np.pi * atrial)))


def _bump(phase: float, centre: float, width: float) -> float:
    return float(np.exp(-0.5 * ((phase - centre) / width) ** 2))


def mitral_opening(phase: float) -> float:
    """Opening of the atrioventricular valves, 0 closed to 1 wide open: an early and an atrial wave."""
    phase %= 1.0
    return min(1.0, _bump(phase, 0.53, 0.055) + 0.35 * _bump(phase, 0.7, 0.09) + 0.75 * _bump(phase, 0.89, 0.04))


def aortic_opening(phase: float) -> float:
    """Opening of the aortic valve, 0 closed to 1 wide open, in systole only."""
    return float(np.clip(1.6 * np.sin(np.pi * np.clip((phase % 1.0) / END_SYSTOLE, 0, 1)), 0, 1))


def ventricle_volume(anatomy: Anatomy, phase: float) -> float:
    """Volume of the LV cavity in ml: the truncated ellipsoid in closed form."""
    heart = heart_at(anatomy, phase)
    a, _, c = heart.endocardium.axes
    top = heart.base - heart.endocardium.centre[2]
    return float(np.pi * a * a * ((top + c) - (top**3 + c**3) / (3 * c * c)) / 1000)


def _polar(distance: float, angle: float, z: float) -> Vector:
    return (float(distance * np.cos(angle)), float(distance * np.sin(angle)), float(z))


def heart_at(anatomy: Anatomy, phase: float) -> Heart:
    """The heart at a phase of the cycle (0 end diastole, `END_SYSTOLE` end systole, 1 end diastole again).

    The cavity's volume is EDV (1 - EF c) with contraction c: the long axis shortens by `shortening` c (the base
    moves, the apex rests), the radius takes the rest. The wall thickens so that its volume stays.
    """
    a, moving = anatomy, contraction(phase)
    stretch = 1 - a.shortening * moving
    base = a.length * stretch
    radius = a.radius * np.sqrt((1 - a.ejection * moving) / stretch)
    wall = float(np.sqrt(radius**2 + ((a.radius + a.wall) ** 2 - a.radius**2) / stretch) - radius)
    half = LV_CENTRE * base
    tricuspid = base - TRICUSPID_OFFSET
    septum, right = np.deg2rad(a.septum), a.right_ventricle * (1 - 0.16 * moving)
    shell = a.radius + a.wall
    atrium = a.left_atrium * (1 + 0.14 * moving)
    right_atrium = a.right_atrium * (1 + 0.1 * moving)
    opening, ejecting = mitral_opening(phase), aortic_opening(phase)
    root = _polar(15.0, OUTFLOW, base)
    tilt = np.array([0.25 * np.cos(OUTFLOW), 0.25 * np.sin(OUTFLOW), 1.0])
    axis = tuple(float(part) for part in tilt / np.linalg.norm(tilt))
    annulus = 0.72 * radius + 2
    return Heart(
        base=base,
        tricuspid=tricuspid,
        wall=wall,
        endocardium=Ellipsoid((0, 0, half), (radius, radius, half)),
        epicardium=Ellipsoid((0, 0, half), (radius + wall, radius + wall, half + 0.75 * wall)),
        left_atrium=Ellipsoid(
            _polar(-8.0, OUTFLOW, base + 18 * atrium), (19 * atrium, 22 * atrium, 25 * atrium), OUTFLOW
        ),
        right_ventricle=Ellipsoid(
            _polar(0.72 * shell, septum, 0.62 * base), (34 * right, 40 * right, 0.6 * a.length * stretch), septum
        ),
        outflow_tract=Ellipsoid(_polar(shell + 8, OUTFLOW, base + 4), (13 * right, 15 * right, 34.0), OUTFLOW),
        right_atrium=Ellipsoid(
            _polar(38.0, np.deg2rad(172.0), tricuspid + 17 * right_atrium),
            (25 * right_atrium, 23 * right_atrium, 25 * right_atrium),
        ),
        aorta=Cylinder(root, axis, a.aorta),  # type: ignore[arg-type]
        # The heart lies slanted in the chest: its parasternal long axis cuts the descending aorta across, behind the
        # left atrium.
        descending_aorta=Cylinder(
            _polar(-(shell + 22), OUTFLOW, base + 10), _polar(0.87, OUTFLOW - np.pi / 2, 0.5), 0.85 * a.aorta
        ),
        papillary=tuple(
            Ellipsoid(_polar(0.7 * radius, np.deg2rad(angle), 0.5 * base), (0.24 * radius, 0.2 * radius, 0.2 * base))
            for angle in PAPILLARY_ANGLES
        ),
        valves=(
            Funnel(
                _polar(-5.0, OUTFLOW, base),
                (0.0, 0.0, -1.0),
                annulus,
                0.5 + 0.7 * annulus * opening,
                6 + 9 * opening,
                2.0,
            ),
            Funnel(
                _polar(33.0 * right, np.deg2rad(172.0), tricuspid),
                (0.0, 0.0, -1.0),
                16.0,
                0.5 + 11 * opening,
                5 + 8 * opening,
                1.8,
            ),
            Funnel(root, axis, a.aorta, 0.5 + 0.85 * a.aorta * ejecting, 7 + 4 * ejecting, 1.6),  # type: ignore[arg-type]
        ),
    )
