import numpy as np
import pytest

from echosynth.common.views import VIEWS
from echosynth.phantom.anatomy import END_SYSTOLE
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.recordings import SOURCES, draw_recording
from echosynth.phantom.styles import STYLES


def test_a_recording_depends_on_its_arguments_alone(small_params: PhantomParams) -> None:
    first = draw_recording(small_params, "tmed2", 3, 1, "A4C").picture(0.2, 0)
    draw_recording(small_params, "unity", 1, 0, "A4C").picture(0.0, 0)
    assert np.array_equal(first, draw_recording(small_params, "tmed2", 3, 1, "A4C").picture(0.2, 0))
    for other in (("tmed2", 4, 1), ("tmed2", 3, 2)):
        assert not np.array_equal(first, draw_recording(small_params, *other, "A4C").picture(0.2, 0))
    reseeded = small_params.model_copy(update={"seed": 8})
    assert not np.array_equal(first, draw_recording(reseeded, "tmed2", 3, 1, "A4C").picture(0.2, 0))


def test_recordings_of_a_patient_share_the_heart(small_params: PhantomParams) -> None:
    hearts = [draw_recording(small_params, "tmed2", 3, number, view).anatomy for number, view in enumerate(VIEWS)]
    assert len(set(hearts)) == 1
    assert hearts[0] != draw_recording(small_params, "tmed2", 4, 0, "A4C").anatomy


@pytest.mark.parametrize("source", SOURCES)
def test_chambers_are_darker_than_walls(source: str) -> None:
    easy = PhantomParams(seed=1, one_in=20.0, unusable_share=0.0, tinted_share=0.0, difficulty=0.0)
    recording = draw_recording(easy, source, 0, 0, "A4C")  # type: ignore[arg-type]
    picture = recording.picture(0.0, 0)
    blood = picture[recording.chamber("LV", 0.0) > 0].mean()
    wall = picture[recording.chamber("myocardium", 0.0) > 0].mean()
    assert picture.shape[::-1] in STYLES[source].sizes  # type: ignore[index]
    assert wall > blood + 25


def test_the_heart_beats_in_the_picture(small_params: PhantomParams) -> None:
    recording = draw_recording(small_params, "echonet-dynamic", 0, 0, "A4C")
    full, empty = (int(recording.chamber("LV", phase).sum()) for phase in (0.0, END_SYSTOLE))
    assert 0 < empty < full
    same, later = recording.picture(0.0, 1).astype(int), recording.picture(END_SYSTOLE, 2).astype(int)
    still = np.abs(recording.picture(0.0, 0) - same).mean()
    assert np.abs(recording.picture(0.0, 0) - later).mean() > 2 * still


def test_the_shifted_sources_look_different() -> None:
    """Same view, mean patient and textbook plane: CAMUS is brighter and has finer speckle, Unity is harder."""
    easy = PhantomParams(seed=1, one_in=20.0, unusable_share=0.0, tinted_share=0.0, difficulty=0.0)
    level, contrast = {}, {}
    for source in ("tmed2", "camus", "unity"):
        recording = draw_recording(easy, source, 0, 0, "A4C")  # type: ignore[arg-type]
        wall = recording.picture(0.0, 0)[recording.chamber("myocardium", 0.0) > 0].astype(float)
        level[source], contrast[source] = wall.mean(), wall.std() / wall.mean()
    assert level["camus"] > 1.5 * max(level["tmed2"], level["unity"])
    assert contrast["camus"] < contrast["tmed2"] < contrast["unity"]
