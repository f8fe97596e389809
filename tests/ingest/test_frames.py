import weakref
from fractions import Fraction

import cv2
import numpy as np
import pytest
from tests.media.films import X264, broken, film

from echosynth.imagesets.prepare import prepare
from echosynth.imagesets.store import pixel_hash
from echosynth.ingest.frames import decoded, dissimilar, marked, read_record, similarity_scores, spaced
from echosynth.media.decode import read_frame
from echosynth.sources.base import Record


def record(path, **facts):
    return Record(path, "A4C", "g", "file", **facts)


def numbers(reading):
    return [taken.frame for taken in reading.taken]


def shown(taken):
    return cv2.imdecode(np.frombuffer(taken.png, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(10, 1, [5]), (10, 2, [2, 7]), (10, 5, [1, 3, 5, 7, 9]), (3, 5, [0, 1, 2]), (1, 1, [0]), (7, 3, [1, 3, 5])],
)
def test_spaced(total, count, expected):
    assert spaced(total, count) == expected


def test_marked():
    assert marked(10, (("ES", 7), ("ED", 2))) == ({2: "ED", 7: "ES"}, 0)
    assert list(marked(10, (("ES", 7), ("ED", 2)))[0]) == [2, 7]
    assert marked(10, (("ED", 10), ("ES", -1), ("ED", 9))) == ({9: "ED"}, 2)
    assert marked(10, (("ED", 3), ("ED", 3), ("ED", 5))) == ({3: "ED", 5: "ED"}, 0)
    assert marked(10, (("ED", 3), ("ES", 3))) == ({}, 2)
    assert marked(10, ()) == ({}, 0)


def scores_by_pairs(frames):
    """Straight from the text: the matrix of mean squared errors, and each row's mean without the diagonal."""
    flat = frames.reshape(len(frames), -1).astype(np.float64)
    matrix = ((flat[:, None] - flat[None]) ** 2).mean(axis=2)
    return -(matrix.sum(axis=1) / max(len(frames) - 1, 1))


@pytest.mark.parametrize("total", [1, 2, 3, 5, 8, 41])
def test_scores_are_the_means_of_the_similarity_matrix(total):
    frames = np.random.default_rng(total).integers(0, 256, (total, 16, 16), dtype=np.uint8)
    assert similarity_scores(list(frames)) == pytest.approx(scores_by_pairs(frames), rel=1e-12)


def test_black_and_white_frames_do_not_overflow():
    frames = np.zeros((3, 256, 256), np.uint8)
    frames[1] = 255
    assert similarity_scores(list(frames)).tolist() == [-(255.0**2) / 2, -(255.0**2), -(255.0**2) / 2]


@pytest.mark.parametrize("total", [4, 5, 9, 40, 41])
def test_dissimilar_frames_are_those_below_the_quantile(total):
    frames = np.random.default_rng(total).integers(0, 256, (total, 8, 8), dtype=np.uint8)
    scores = scores_by_pairs(frames)
    assert dissimilar(list(frames)) == np.flatnonzero(scores < np.quantile(scores, 0.25)).tolist()
    assert len(dissimilar(list(frames))) == -(-(total - 1) // 4)  # the quantile lies at (T - 1) / 4 from below


def test_the_odd_one_out_is_dissimilar():
    frames = np.full((9, 8, 8), 50, np.uint8)
    frames[6] = 200
    assert dissimilar(list(frames)) == [6]


@pytest.mark.parametrize("total", [1, 2, 12])
def test_of_equal_frames_one_is_kept(total):
    assert dissimilar([np.full((8, 8), 70, np.uint8)] * total) == [0]


@pytest.fixture
def ingest_params(params_with):
    return lambda **changes: params_with(ingest={"size": 32, **changes}).ingest


def test_a_random_frame_depends_on_the_seed_alone(tmp_path, write_avi, ingest_params):
    path = write_avi(tmp_path / "v.avi", 20)
    chosen = {numbers(read_record(record(path), True, (1, seed), ingest_params()))[0] for seed in range(30)}
    assert len(chosen) > 8 and chosen <= set(range(20))
    again = [read_record(record(path), True, (1, 7), ingest_params()) for _ in range(2)]
    assert again[0] == again[1] and again[0].frames == 20 and (again[0].width, again[0].height) == (112, 112)


def test_pictures_are_prepared_and_encoded(tmp_path, write_png, ingest_params):
    path = write_png(tmp_path / "x.png")
    reading = read_record(record(path, moment="ES"), False, (0, 0), ingest_params())
    (taken,) = reading.taken
    expected = prepare(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), 32)
    assert np.array_equal(shown(taken), expected) and taken.pixels == pixel_hash(expected)
    assert (taken.frame, taken.moment, reading.frames, reading.error) == (0, "ES", 1, "")


def test_spaced_marked_and_dissimilar_frames_of_a_cine(tmp_path, write_avi, ingest_params):
    path = write_avi(tmp_path / "v.avi", 20)  # grey 20, 30, ... 210
    every = read_record(record(path), True, (0, 0), ingest_params(frames="spaced", frames_per_cine=4))
    assert numbers(every) == [2, 7, 12, 17]
    assert [shown(taken).mean() for taken in every.taken] == pytest.approx([40, 90, 140, 190], abs=2)
    both = record(path, marked=(("ES", 12), ("ED", 4), ("ED", 99)))
    reading = read_record(both, True, (0, 0), ingest_params(frames="marked"))
    assert [(taken.frame, taken.moment) for taken in reading.taken] == [(4, "ED"), (12, "ES")]
    assert reading.marks_lost == 1
    # The first and the last of a steady change are least like the others; the third and third last lie on the quantile.
    assert numbers(read_record(both, True, (0, 0), ingest_params(frames="dissimilar"))) == [0, 1, 18, 19]


@pytest.mark.parametrize("marks", [(), (("ED", 20), ("ES", -1))])
def test_without_a_usable_mark_the_frame_is_random(tmp_path, write_avi, ingest_params, marks):
    path = write_avi(tmp_path / "v.avi", 20)
    expected = numbers(read_record(record(path), True, (3, 4), ingest_params()))
    reading = read_record(record(path, marked=marks), True, (3, 4), ingest_params(frames="marked"))
    assert numbers(reading) == expected and reading.taken[0].moment == "" and reading.marks_lost == len(marks)


@pytest.mark.parametrize("frames", ["random", "spaced", "dissimilar", "marked"])
def test_a_still_among_cines_gives_its_picture(tmp_path, write_png, ingest_params, frames):
    reading = read_record(record(write_png(tmp_path / "x.png")), True, (0, 5), ingest_params(frames=frames))
    assert numbers(reading) == [0]


@pytest.mark.parametrize("frames", ["random", "spaced", "dissimilar", "marked"])
def test_a_cine_that_stands_in_for_stills_gives_its_marked_frames(tmp_path, write_avi, ingest_params, frames):
    path = write_avi(tmp_path / "a.avi", 8)
    marks = (("ED", 6), ("ES", 0))
    reading = read_record(record(path, marked=marks), False, (1, 2), ingest_params(frames=frames))
    assert [(taken.frame, taken.moment) for taken in reading.taken] == [(0, "ES"), (6, "ED")]


def test_native_frames_are_not_kept(tmp_path, write_avi, ingest_params, monkeypatch):
    alive, most = [], []

    def counted(frame, *args):
        alive.append(weakref.ref(frame))
        most.append(sum(reference() is not None for reference in alive))
        return prepare(frame, *args)

    monkeypatch.setattr("echosynth.ingest.frames.prepare", counted)
    decoded(record(write_avi(tmp_path / "v.avi", 20)), True, (0, 0), ingest_params(frames="dissimilar"), 1.0)
    assert len(most) == 20 and max(most) <= 2


def test_a_bad_file_is_an_error_not_an_exception(tmp_path, ingest_params):
    (tmp_path / "x.png").write_text("text")
    reading = read_record(record(tmp_path / "x.png"), True, (0, 0), ingest_params())
    assert reading.taken == () and reading.error.startswith(f"{tmp_path / 'x.png'} is no PNG file")


@pytest.mark.parametrize("square", [True, False])
def test_pixels_are_made_square_unless_the_study_did_not(tmp_path, ingest_params, square):
    path = film(tmp_path / "v.mp4", frames=3, aspect=Fraction(2))
    reading = read_record(record(path), True, (0, 0), ingest_params(square_pixels=square))
    assert reading.squared is square and not reading.error
    (frame,) = read_frame(path, lambda total: reading.taken[0].frame).frames
    wide = np.asarray(cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (128, 48), interpolation=cv2.INTER_CUBIC))
    assert np.array_equal(shown(reading.taken[0]), prepare(wide if square else frame, 32))
    assert not read_record(record(film(tmp_path / "s.mp4", frames=3)), True, (0, 0), ingest_params()).squared


def test_a_damaged_frame_is_an_error_of_its_file(tmp_path, ingest_params):
    path = broken(film(tmp_path / "v.mp4", frames=20, options=X264), 10)
    reading = read_record(record(path, marked=(("ED", 3), ("ES", 15))), True, (0, 0), ingest_params(frames="marked"))
    assert reading.error == f"{path}: frame 15 of 20 cannot be decoded; copy it again"
    assert numbers(read_record(record(path, marked=(("ED", 3),)), True, (0, 0), ingest_params(frames="marked"))) == [3]
