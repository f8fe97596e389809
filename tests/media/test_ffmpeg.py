import os
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from tests.media.films import HEIGHT, WIDTH, X264, broken, copied, film, frame, number_of, numbers_of, packets

from echosynth.common.errors import EchosynthError
from echosynth.media import ffmpeg
from echosynth.media.decode import read_clip, read_frame, read_stream
from echosynth.media.ffmpeg import FFmpegVideo
from echosynth.media.video import open_video, video_size

UNEVEN = [0, *np.cumsum([20] * 13 + [100] * 13 + [33] * 13).tolist()]
X265 = "log-level=none:keyint=10:min-keyint=10:bframes=3:crf=8"
GOOD = {"g": "10", "qmin": "1", "qmax": "2"}
# Name -> codec, options; suffixes tell the container.
FILMS = {
    "h264.mp4": ("libx264", {"options": X264}),
    "uneven.mp4": ("libx264", {"options": X264, "times": UNEVEN}),
    "late.mp4": ("libx264", {"options": X264, "times": [1500 + 40 * number for number in range(40)]}),
    "one key frame.mp4": ("libx264", {"options": X264 | {"g": "400"}}),
    "open groups.mp4": ("libx264", {"options": X264 | {"x264-params": "open-gop=1"}}),
    "refreshed.mp4": ("libx264", {"options": {"crf": "8", "x264-params": "intra-refresh=1:keyint=10:bframes=0"}}),
    "interlaced.mp4": ("libx264", {"options": X264 | {"x264-params": "tff=1"}}),
    "fragments.mp4": ("libx264", {"options": X264, "container": {"movflags": "frag_keyframe+empty_moov"}}),
    "h265.mp4": ("libx265", {"options": {"x265-params": f"{X265}:open-gop=0"}}),
    "h265 open.mp4": ("libx265", {"options": {"x265-params": f"{X265}:open-gop=1"}}),
    "mpeg4.mp4": ("mpeg4", {"options": GOOD | {"bf": "2"}}),
    "jpeg.mp4": ("mjpeg", {"options": {"qmin": "1", "qmax": "2"}, "pixels": "yuvj420p"}),
    "mpeg4.avi": ("mpeg4", {"options": GOOD}),
    "mpeg4 with b.avi": ("mpeg4", {"options": GOOD | {"bf": "2"}}),
    "h264.avi": ("libx264", {"options": X264}),
    "mpeg2.avi": ("mpeg2video", {"options": GOOD | {"bf": "2"}}),
    "lossless.avi": ("ffv1", {}),
}


def by_opencv(path):
    """All frames, one after the other, by another program's use of FFmpeg."""
    video, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]), []
    while (read := video.read())[0]:
        frames.append(read[1][:, :, ::-1])
    return np.stack(frames)


def alone(path, number):
    return read_frame(path, lambda total: number).frames[0]


@pytest.mark.parametrize("name", FILMS)
def test_frame_n_is_the_nth_of_all(tmp_path, name):
    codec, options = FILMS[name]
    path = film(tmp_path / name, codec, **options)
    run = read_clip(path).frames
    assert numbers_of(run) == list(range(40))
    assert np.array_equal(run, [alone(path, number) for number in range(40)])
    some = [1, 9, 10, 11, 24, 39]
    assert np.array_equal(run[some], list(read_stream(path, lambda total: some).frames))
    assert np.abs(run.mean(axis=3) - np.stack([frame(number) for number in range(40)])).mean() < 3
    # OpenCV 5.0 gives black for interlaced frames (findings/opencv-interlaced.sh).
    if name != "interlaced.mp4":
        assert np.array_equal(run, by_opencv(path))


@pytest.mark.parametrize("name", ["h264.mp4", "open groups.mp4", "h265 open.mp4", "mpeg4.mp4", "mpeg4.avi"])
def test_decoding_begins_near_the_wanted_frame(tmp_path, monkeypatch, name):
    codec, options = FILMS[name]
    path = film(tmp_path / name, codec, **options)
    video, begun = FFmpegVideo(path), []
    begin = ffmpeg._Cine._begin
    monkeypatch.setattr(ffmpeg._Cine, "_begin", lambda *args: begun.append(args[2]) or begin(*args))
    assert [number_of(next(video.read([number]))) for number in (3, 27, 39)] == [3, 27, 39]
    assert begun == sorted(begun) and begun[0] == 0 and begun[1] >= 10 and begun[2] >= 27
    assert numbers_of(video.read([0, 1, 35, 36])) == [0, 1, 35, 36] and len(begun) == 5


def test_pictures_that_are_refreshed_bit_by_bit_have_no_clean_start(tmp_path):
    codec, options = FILMS["refreshed.mp4"]
    path = film(tmp_path / "v.mp4", codec, **options)
    assert sum(packet.is_keyframe for packet in packets(path)) > 1  # as far as the container knows
    every = by_opencv(path)
    assert all(np.array_equal(alone(path, number), every[number]) for number in (12, 22, 33))


@pytest.mark.parametrize("shift", [4, 13])
def test_an_edit_list_cuts_the_start_off(tmp_path, shift):
    path = film(tmp_path / "whole.mp4", options=X264)
    cut = copied(path, tmp_path / "cut.mp4", shift=shift * packets(path)[0].duration)
    assert open_video(cut).total == 40 - shift
    assert [number_of(alone(cut, number)) for number in range(40 - shift)] == list(range(shift, 40))


@pytest.mark.parametrize("name", ["open groups.mp4", "h265 open.mp4", "h264.mp4"])
@pytest.mark.parametrize("key", [True, False])
def test_a_recording_that_was_cut_out_of_another(tmp_path, name, key):
    codec, options = FILMS[name]
    path = film(tmp_path / name, codec, **options)
    keys = [number for number, packet in enumerate(packets(path)) if packet.is_keyframe]
    cut = copied(path, tmp_path / "cut.mp4", begin=keys[1] if key else 3)
    every = by_opencv(cut)
    assert np.array_equal(every, [alone(cut, number) for number in range(len(every))])
    assert number_of(every[-1]) == 39


@pytest.mark.parametrize(
    "name", ["12:30:05.mp4", "A4C 12:30.avi", "a%03d.mp4", "file:x.mp4", "pipe:0.mp4", "http:x.avi"]
)
def test_names_that_look_like_something_else(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / f"plain{name[-4:]}", "mpeg4", frames=12, options=GOOD).rename(tmp_path / name)
    for path in (tmp_path / name, name):
        assert numbers_of(read_clip(path).frames) == list(range(12))


@pytest.mark.skipif(os.name != "posix", reason="names are bytes")
def test_names_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"a\xff.mp4")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system wants text")
    film(tmp_path / "v.mp4", frames=3).replace(path)
    assert numbers_of(read_clip(path).frames) == [0, 1, 2]


COLOURS = {
    "untagged": {},
    "bt601": {"colorspace": 5, "color_range": 1},
    "bt709": {"colorspace": 1, "color_range": 1},
    "bt709 full": {"colorspace": 1, "color_range": 2},
    "full": {"color_range": 2, "pixels": "yuvj420p"},
    "444": {"pixels": "yuv444p", "colorspace": 1, "color_range": 1},
    "grey": {"pixels": "gray"},
    "grey full": {"pixels": "gray", "color_range": 2},
    "10 bit": {"codec": "libx265", "pixels": "yuv420p10le", "colorspace": 1, "color_range": 1},
    "10 bit grey": {"codec": "libx265", "pixels": "gray10le", "color_range": 1},
    "rgb": {"codec": "libx264rgb", "pixels": "rgb24"},
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours(tmp_path, name):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([40 + 2 * x, 30 + 3 * y, 200 - x - y], 2).astype(np.uint8)
    rgb[:, :16] = 0  # black, as around a sector
    options = {"x265-params": "log-level=none:crf=4"} if "10 bit" in name else {"crf": "2"}
    path = film(tmp_path / "v.mp4", frames=[rgb] * 3, **({"options": options} | COLOURS[name]))
    frames = read_clip(path).frames
    assert np.array_equal(frames, by_opencv(path))
    expected = rgb if "grey" not in name else np.repeat((rgb @ [0.299, 0.587, 0.114])[..., None], 3, 2)
    assert np.abs(frames[0] - expected.astype(float)).mean() < 4


@pytest.mark.parametrize("turned", [0, 90, 180, -90])
def test_phones_say_how_a_picture_is_turned(tmp_path, turned):
    path = film(tmp_path / "v.mp4", frames=3, turned=turned, aspect=Fraction(2), options={"crf": "8"})
    frames = read_clip(path).frames
    assert np.abs(frames[1].mean(axis=2) - np.rot90(frame(1), turned // 90)).mean() < 3
    assert np.array_equal(frames, by_opencv(path))
    assert open_video(path).spacing == ((1, 2) if turned in (90, -90) else (2, 1))


def test_the_shape_of_a_pixel(tmp_path):
    assert open_video(film(tmp_path / "s.mp4", frames=3)).spacing is None
    assert open_video(film(tmp_path / "o.mp4", frames=3, aspect=Fraction(1))).spacing is None
    stream = read_stream(film(tmp_path / "w.mp4", frames=3, aspect=Fraction(16, 11)), range)
    assert stream.spacing == (16, 11) and stream.note == "pixels of 16 x 11, which are not square"
    assert open_video(film(tmp_path / "w.avi", "mpeg4", frames=3, aspect=Fraction(3, 2))).spacing == (3, 2)
    assert video_size(tmp_path / "w.mp4") == video_size(tmp_path / "w.avi") == (WIDTH, HEIGHT)


DAMAGED = {  # packet in the order of decoding -> frames that are spoilt
    "h264.mp4": (10, range(10, 20)),
    "mpeg4.mp4": (10, None),
    "jpeg.mp4": (14, [14]),
    "mpeg4.avi": (13, range(13, 20)),
    "h264.avi": (10, range(6, 40)),  # whose packets do not say which frames they are, and what needs them
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_frames_are_refused_and_the_others_are_right(tmp_path, name):
    codec, options = FILMS[name]
    path = film(tmp_path / name, codec, **options)
    whole = read_clip(path).frames
    packet, spoilt = DAMAGED[name]
    broken(path, packet)
    refused = []
    for number in range(40):
        try:
            assert np.array_equal(alone(path, number), whole[number])
        except EchosynthError as error:
            assert str(error) == f"{path}: frame {number} of 40 cannot be decoded; copy it again"
            refused.append(number)
    assert refused == list(spoilt) if spoilt else 1 <= len(refused) <= 12
    with pytest.raises(EchosynthError, match=f"frame {refused[0]} of 40 cannot be decoded"):
        read_clip(path)
    assert numbers_of(read_stream(path, lambda total: range(refused[0])).frames) == list(range(refused[0]))


def test_frames_that_change_their_size_are_not_stretched(tmp_path):
    small = film(tmp_path / "small.mp4", "mpeg4", frames=6, options=GOOD)
    large = film(tmp_path / "large.mp4", "mpeg4", frames=[frame(n, 96, 128) for n in range(6, 12)], options=GOOD)
    path = tmp_path / "both.avi"
    with av.open(str(small)) as first, av.open(str(large)) as second, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(first.streams.video[0])
        header = second.streams.video[0].codec_context.extradata
        for number, packet in enumerate([*packets(small), *packets(large)]):
            # The second part brings its header with it.
            data = (header if number == 6 else b"") + bytes(packet)
            copy = av.Packet(data)
            copy.pts = copy.dts = number
            copy.time_base, copy.stream, copy.is_keyframe = Fraction(1, 25), stream, packet.is_keyframe
            target.mux(copy)
    assert numbers_of(read_stream(path, lambda total: range(6)).frames) == list(range(6))
    for number in (6, 11):
        with pytest.raises(EchosynthError, match=f"frame {number} of 12 has 128 x 96 pixels and not 64 x 48 pixels"):
            alone(path, number)


def test_what_is_no_video(tmp_path):
    path = film(tmp_path / "v.mp4", frames=3)
    data = bytearray(path.read_bytes())
    at = data.index(b"stsd")
    data[at + 16 : at + 20] = b"none"  # a codec that nobody knows
    path.write_bytes(data)
    with pytest.raises(EchosynthError, match=r"v\.mp4 .*(no video|no readable video|no frame)"):
        read_frame(path)


def test_a_size_that_no_decoder_should_take_memory_for(tmp_path, monkeypatch):
    path = film(tmp_path / "v.mp4", frames=3)
    monkeypatch.setattr("echosynth.media.probe._allowed", [100])
    with pytest.raises(EchosynthError, match="claims pictures of 64 x 48 pixels"):
        read_frame(path)


def test_nothing_is_printed(tmp_path, capfd):
    path = broken(film(tmp_path / "v.mp4", options=X264), 10)
    with pytest.raises(EchosynthError):
        read_clip(path)
    assert capfd.readouterr() == ("", "")
