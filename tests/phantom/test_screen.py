import numpy as np
import pytest

from echosynth.phantom.options import PhantomParams
from echosynth.phantom.plan import Kind
from echosynth.phantom.recordings import draw_recording
from echosynth.phantom.screen import cine_phases, extremes, frames


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("usable", 0, 0), ("tinted", 3, 40), ("doppler", 90, 255), ("odd", 120, 255)],
)
def test_colour_tells_the_kinds_apart(small_params: PhantomParams, kind: Kind, least: int, most: int) -> None:
    recording = draw_recording(small_params, "echonet-dynamic", 0, 0, "A4C")
    (frame,) = frames(recording, [0.0], kind)
    assert frame.shape == (112, 112, 3) and frame.dtype == np.uint8
    assert least <= int((frame.max(axis=2) - frame.min(axis=2)).max()) <= most


def test_split_screen_holds_two_pictures(small_params: PhantomParams) -> None:
    (frame,) = frames(draw_recording(small_params, "echonet-dynamic", 0, 0, "A4C"), [0.0], "split")
    columns = frame[..., 0].sum(axis=0, dtype=int)
    assert columns[:56].max() > 300 and columns[56:].max() > 300
    assert frame[:28].max() == frame[85:].max() == 0


def test_a_split_screen_shows_colour_doppler_on_the_right_or_is_grey(small_params: PhantomParams) -> None:
    coloured = 0
    for patient in range(12):
        (frame,) = frames(draw_recording(small_params, "echonet-dynamic", patient, 0, "A4C"), [0.0], "split")
        difference = np.ptp(frame, axis=2)
        assert difference[:, :56].max() == 0
        coloured += int(difference[:, 56:].max() > 90)
    assert 5 <= coloured <= 11


def test_a_cine_covers_the_cycle_and_its_extremes_are_found() -> None:
    phases = cine_phases(np.random.default_rng(0), 12, 12)
    assert np.diff(np.sort(phases)).max() < 0.12
    assert extremes([0.2, 0.02, 0.36, 0.6]) == (1, 2)
