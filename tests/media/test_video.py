import struct

import cv2
import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.media import video
from echosynth.media.decode import read_clip, read_frame
from echosynth.media.video import mjpeg_places, open_video


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
    # They round differently, FFmpeg downwards.
    assert np.abs(by_index - by_ffmpeg).max() <= 4 and abs((by_index - by_ffmpeg).mean()) < 1


@pytest.mark.parametrize("numbers", [[0], [39], [2, 3, 38], [0, 39], list(range(40))])
@pytest.mark.parametrize("by_index", [True, False])
def test_any_frames_by_number(speckle, monkeypatch, numbers, by_index):
    if not by_index:
        monkeypatch.setattr(video, "mjpeg_places", lambda path: None)
    total, read = open_video(speckle)
    every = read_clip(speckle).frames
    assert total == 40 and np.array_equal(list(read(numbers)), every[numbers])


def test_other_frames_are_not_decoded(speckle, monkeypatch):
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *args: decoded.append(1) or decode(*args))
    monkeypatch.setattr(cv2, "VideoCapture", lambda *args: pytest.fail("FFmpeg was asked"))
    read_frame(speckle, lambda total: 30)
    assert len(decoded) == 1


def test_films_of_other_codecs(tmp_path):
    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 64))
    for index in range(90):
        writer.write(np.full((64, 64, 3), 20 + 2 * index, np.uint8))
    writer.release()
    total, read = open_video(path)
    assert total == 90
    assert [frame.mean() for frame in read([0, 50, 89])] == pytest.approx([20, 120, 198], abs=3)


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


def test_a_frame_of_another_size_or_damaged_is_named(speckle):
    def change(data):
        start, length = places[7]
        data[start + length // 2 : start + length] = bytes(length - length // 2)

    places = mjpeg_places(speckle) or []
    edited(speckle, change)
    read_frame(speckle, lambda total: 6)
    with pytest.raises(EchosynthError, match=r"v\.avi: frame 7 of 40 cannot be decoded"):
        read_frame(speckle, lambda total: 7)
