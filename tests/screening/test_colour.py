from pathlib import Path

import cv2
import data_store
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from echosynth.media.decode import read_frame
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.recordings import draw_recording
from echosynth.phantom.screen import frames
from echosynth.screening.colour import Verdict, difference_histogram, grey_share, is_split, judge

SHARE = 0.01


def coloured_share(frame: np.ndarray) -> float:
    return judge(frame, SHARE).coloured_share


def sector(width: int = 160, height: int = 120, seed: int = 0) -> np.ndarray:
    """(H, W, 3): speckle in a sector with its apex in the middle of the top."""
    y, x = np.mgrid[:height, :width]
    inside = (np.hypot(x - width / 2, y) < 0.95 * height) & (np.abs(x - width / 2) < 0.75 * y + 4)
    grey = np.random.default_rng(seed).integers(20, 220, (height, width)) * inside
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def side_by_side(gap: int) -> np.ndarray:
    half = sector(80, 60)[:, 5:75]
    pair = np.hstack([half, np.zeros((60, gap, 3), np.uint8), half])
    return np.vstack([np.zeros_like(pair[:30]), pair, np.zeros_like(pair[:30])])


def left_out(frame, share):
    """Why a frame is left out, None when it is not."""
    verdict = judge(frame, share)
    return None if verdict.usable else verdict.reason


def test_a_plain_sector_is_fine():
    assert left_out(sector(), SHARE) is None
    assert left_out(sector()[..., 0], SHARE) is None


@pytest.mark.parametrize("tint", [(1, 0.9, 0.7), (0.85, 0.95, 1), (1, 0.8, 0.6)])
def test_a_uniform_tint_is_fine(tint):
    frame = (sector() * np.array(tint)).astype(np.uint8)
    assert (np.ptp(frame, axis=2) > 20).mean() > SHARE / 2
    assert left_out(frame, SHARE) is None


@pytest.mark.parametrize("hue", [(220, 40, 20), (20, 60, 230), (230, 200, 20)])
def test_a_doppler_jet_is_not_even_on_a_tinted_display(hue):
    for tint in ((1, 1, 1), (1, 0.9, 0.75)):
        frame = (sector() * np.array(tint)).astype(np.uint8)
        cv2.circle(frame, (80, 70), 12, hue, -1)
        assert left_out(frame, SHARE) == "colour Doppler"


@pytest.mark.parametrize("palette", [cv2.COLORMAP_JET, cv2.COLORMAP_OCEAN, cv2.COLORMAP_HOT])
def test_false_colours_are_not(palette):
    grey = sector()[..., 0]
    frame = cv2.applyColorMap(grey, palette)[..., ::-1].copy()
    frame[grey == 0] = 0
    assert left_out(frame, SHARE) == "odd colours"


def test_the_share_is_that_of_all_pixels():
    frame = sector()
    frame[50:62, 70:90] = (230, 30, 30)
    assert coloured_share(frame) == pytest.approx(12 * 20 / (120 * 160), abs=0.001)
    assert coloured_share(np.repeat(np.repeat(frame, 5, 0), 5, 1)) == pytest.approx(0.0125, abs=0.002)
    assert left_out(frame, 0.02) is None
    assert coloured_share(np.zeros_like(frame)) == 0


@pytest.mark.parametrize("gap", [2, 12])
def test_two_pictures_side_by_side_are_seen(gap):
    assert left_out(side_by_side(gap), SHARE) == "split picture"


def test_depth_ticks_do_not_fill_the_gap():
    frame = side_by_side(12)
    frame[10:110:10, 76] = 200
    assert is_split(frame)


def test_a_scale_beside_the_sector_is_no_second_picture():
    frame = sector()
    frame[:, 25:] = frame[:, :-25].copy()
    frame[:, :60] = 0
    frame[10:100, 2:8] = 200
    assert not is_split(frame)
    assert not is_split(np.zeros_like(frame))


def test_a_tint_and_a_little_colour_are_remarked_and_fine():
    assert judge(sector(), SHARE) == Verdict(True, "")
    assert judge((sector() * np.array((1, 0.95, 0.9))).astype(np.uint8), SHARE) == Verdict(True, "usable tint")
    frame = sector()
    frame[5:8, 5:15] = (90, 220, 90)
    assert judge(frame, SHARE) == Verdict(True, "little colour")


def test_a_split_picture_with_colour_on_one_side_is_called_split():
    frame = side_by_side(12)
    cv2.circle(frame, (110, 65), 12, (220, 40, 20), -1)
    assert coloured_share(frame) > SHARE and left_out(frame, SHARE) == "split picture"


def test_the_share_of_grey_pixels():
    frame = np.zeros((10, 10, 3), np.uint8)
    frame[0, :5] = (100, 110, 126)
    frame[1, :5] = (100, 110, 125)
    histogram = difference_histogram(frame)
    assert grey_share(histogram, 25) == pytest.approx(0.95) and grey_share(histogram, 24) == pytest.approx(0.9)
    assert grey_share(difference_histogram(frame[..., 0]), 0) == 1


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        ("usable", {""}),
        ("tinted", {"usable tint"}),
        ("doppler", {"colour Doppler"}),
        ("split", {"split picture"}),
        ("odd", {"odd colours"}),
    ],
)
@pytest.mark.parametrize(("source", "view"), [("echonet-dynamic", "A4C"), ("echonet-lvh", "PLAX")])
def test_phantoms_of_every_kind(source, view, kind, reasons, write_avi, tmp_path):
    params = PhantomParams(seed=7, one_in=500.0, unusable_share=0.2, tinted_share=0.2, difficulty=0.8)
    for patient in range(4):
        shown = frames(draw_recording(params, source, patient, 0, view), [0.1], kind)
        frame = read_frame(write_avi(tmp_path / "cine.avi", frames=shown)).frames[0]
        assert judge(frame, SHARE).reason in reasons


def real(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    return Path(str(found)) if found else Path(data_store.__file__).parent / "data" / name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("color3d_jpeg_baseline.dcm", None),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", None),
        ("examples_ybr_color.dcm", None),
        ("color-px.dcm", "colour Doppler"),
        ("examples_rgb_color.dcm", "colour Doppler"),
    ],
)
def test_real_pictures(name, expected):
    assert left_out(read_frame(real(name)).frames[0], SHARE) == expected
