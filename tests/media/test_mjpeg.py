import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest
from tests.media.films import HEIGHT, WIDTH, film, frame, jpeg, mjpeg_avi, numbers_of, without_tables

from echosynth.common.errors import EchosynthError
from echosynth.media import ffmpeg, video
from echosynth.media.decode import read_clip, read_frame, read_stream
from echosynth.media.mjpeg import mjpeg_places
from echosynth.media.probe import probe
from echosynth.media.video import open_video, video_size


@pytest.fixture
def speckle(tmp_path, write_avi):
    """A video of 40 different frames."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 14, 14), dtype=np.uint8)
    frames = [np.repeat(cv2.resize(frame, (112, 112))[..., None], 3, 2) for frame in noise]
    return write_avi(tmp_path / "v.avi", frames=frames)


def test_the_index_and_ffmpeg_agree(speckle, monkeypatch):
    assert len(mjpeg_places(speckle) or []) == 40
    by_index = read_clip(speckle).frames.astype(int)
    monkeypatch.setattr(video, "mjpeg_places", lambda path: None)
    by_ffmpeg = read_clip(speckle).frames.astype(int)
    assert by_index.shape == by_ffmpeg.shape == (40, 112, 112, 3)
    # They round differently, FFmpeg's converter downwards.
    assert np.abs(by_index - by_ffmpeg).max() <= 4 and abs((by_index - by_ffmpeg).mean()) < 1


@pytest.mark.parametrize("numbers", [[0], [39], [2, 3, 38], [0, 39], list(range(40))])
@pytest.mark.parametrize("by_index", [True, False])
def test_any_frames_by_number(speckle, monkeypatch, numbers, by_index):
    if not by_index:
        monkeypatch.setattr(video, "mjpeg_places", lambda path: None)
    opened = open_video(speckle)
    every = read_clip(speckle).frames
    assert opened.total == 40 and np.array_equal(list(opened.read(numbers)), every[numbers])


def test_other_frames_are_not_decoded(speckle, monkeypatch):
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *args: decoded.append(1) or decode(*args))
    monkeypatch.setattr(ffmpeg, "FFmpegVideo", lambda path: pytest.fail("FFmpeg was asked"))
    read_frame(speckle, lambda total: 30)
    assert len(decoded) == 1


def edited(path, change):
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def test_without_an_index_ffmpeg_reads(speckle):
    def change(data):
        at = data.rindex(b"idx1")
        data[at : at + 4] = b"JUNK"

    assert mjpeg_places(edited(speckle, change)) is None
    assert read_frame(speckle, lambda total: total - 1).total == 40


def test_empty_entries_of_the_index_are_no_frames(speckle):
    def change(data):
        struct.pack_into("<I", data, data.rindex(b"idx1") + 8 + 16 * 5 + 12, 0)

    assert len(mjpeg_places(edited(speckle, change)) or []) == 39


def test_an_index_that_points_outside_is_not_followed(speckle):
    def change(data):
        struct.pack_into("<I", data, data.rindex(b"idx1") + 8 + 16 * 5 + 8, 2**31)

    assert mjpeg_places(edited(speckle, change)) is None
    assert read_frame(speckle).total == 40


def test_a_damaged_frame_is_named(speckle):
    def change(data):
        start, length = places[7]
        data[start + length // 2 : start + length] = bytes(length - length // 2)

    places = mjpeg_places(speckle) or []
    edited(speckle, change)
    read_frame(speckle, lambda total: 6)
    with pytest.raises(EchosynthError, match=r"v\.avi: frame 7 of 40 cannot be decoded"):
        read_frame(speckle, lambda total: 7)


@pytest.fixture(scope="module")
def jpegs():
    return [jpeg(frame(number)) for number in range(12)]


FORMS = {
    "plain": ({}, True),
    "named db": ({"tag": b"00db"}, True),
    "RIFF length of the whole file": ({"riff": 8}, True),
    "RIFF length too short": ({"riff": -70}, True),
    "RIFF length too long": ({"riff": 5}, True),
    "zeros between the chunks": ({"padding": bytes(4)}, True),
    "zeros between the chunks, RIFF length too long": ({"padding": bytes(4), "riff": 8}, True),
    "no index": ({"index": False}, False),
    "no index, RIFF length too long": ({"index": False, "riff": 8}, False),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tables", [True, False], ids=["tables", "no tables"])
def test_the_forms_in_which_grabbers_write(tmp_path, jpegs, form, tables):
    options, by_index = FORMS[form]
    pictures = jpegs if tables else [without_tables(picture) for picture in jpegs]
    path = mjpeg_avi(tmp_path / "v.avi", pictures, **options)
    assert probe(path) is None and (mjpeg_places(path) is not None) == by_index
    run = list(read_stream(path, range).frames)
    alone = [read_frame(path, lambda total, number=number: number).frames[0] for number in range(12)]
    assert numbers_of(run) == list(range(12)) and np.array_equal(run, alone)
    errors = np.abs(np.stack(run).mean(axis=3) - np.stack([frame(number) for number in range(12)]))
    assert errors.mean() < 1.5


@pytest.mark.parametrize("riff", [0, 8, -70])
@pytest.mark.parametrize("index", [True, False])
def test_a_torn_file_is_still_torn(tmp_path, jpegs, riff, index):
    path = mjpeg_avi(tmp_path / "v.avi", jpegs, riff=riff, index=index)
    whole = path.read_bytes()
    movie, end = whole.index(b"movi"), whole.find(b"idx1") if index else len(whole)
    cuts = [movie + 2, movie + 900, (movie + end) // 2, end - 1 - len(jpegs[-1]) % 2]
    cuts += [end, end + 8, len(whole) - 1, len(whole) - 71] if index else []
    for cut in cuts:
        path.write_bytes(whole[:cut])
        assert "is torn" in (probe(path) or ""), cut
        with pytest.raises(EchosynthError, match="is torn"):
            read_frame(path)


def test_a_frame_of_another_size_is_not_stretched(tmp_path, jpegs):
    wide = jpeg(frame(5, HEIGHT, 2 * WIDTH))
    for index in (True, False):
        path = mjpeg_avi(tmp_path / f"{index}.avi", [*jpegs[:5], wide, *jpegs[6:]], index=index)
        assert numbers_of(read_stream(path, lambda total: [0, 4, 6, 11]).frames) == [0, 4, 6, 11]
        with pytest.raises(EchosynthError, match="frame 5 of 12 has 128 x 48 pixels and not 64 x 48 pixels; export it"):
            read_frame(path, lambda total: 5)


@pytest.mark.parametrize("index", [True, False])
def test_the_shape_of_a_pixel(tmp_path, jpegs, index):
    for shape, expected in [(None, 1), ((4, 3), 1), ((WIDTH, HEIGHT), 1), ((16, 9), 4 / 3), ((0, 0), 1)]:
        path = mjpeg_avi(tmp_path / "v.avi", jpegs, shape=shape, index=index)
        spacing = open_video(path).spacing
        assert (spacing is None) == (expected == 1)
        assert spacing is None or spacing[0] / spacing[1] == pytest.approx(expected)


@pytest.mark.parametrize("index", [True, False])
def test_the_shape_of_a_pixel_as_ffmpeg_writes_it(tmp_path, monkeypatch, index):
    if not index:
        monkeypatch.setattr(video, "mjpeg_places", lambda path: None)
    path = film(tmp_path / "v.avi", "mjpeg", frames=3, pixels="yuvj420p", aspect=Fraction(3, 2))
    assert mjpeg_places(path) and b"vprp" not in path.read_bytes()  # it is in the JPEGs
    assert open_video(path).spacing == (3, 2)
    assert open_video(film(tmp_path / "s.avi", "mjpeg", frames=3, pixels="yuvj420p")).spacing is None
    assert video_size(path) == open_video(path).size == (WIDTH, HEIGHT)


def test_a_printers_resolution_is_no_shape(tmp_path, jpegs):
    start = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\2" + b"\1" + struct.pack(">HH", 300, 100) + b"\0\0"
    assert open_video(mjpeg_avi(tmp_path / "v.avi", [start + picture[2:] for picture in jpegs])).spacing is None
