import numpy as np
import pytest
from tests.media.films import X264, film, packets

from echosynth.media.timeline import Timeline, timeline


def listed(*times, keys=(0,), hidden=(), sizes=None):
    return [
        (time, number in keys, number in hidden, (sizes or {}).get(number, 500)) for number, time in enumerate(times)
    ]


def test_frames_are_numbered_in_the_order_of_presentation():
    table = timeline(listed(0, 7, 3, 2, 90, 31, 8, keys=(0, 4)), "h264", "mp4")
    assert table and table.shown == (0, 2, 3, 7, 8, 31, 90)
    assert [table.numbers[time] for time in (0, 7, 90)] == [0, 3, 6]


def test_decoding_begins_at_the_key_frame_before():
    # Packets 4 and 5 follow key frame 3, but the second of them is shown before it (open group of pictures).
    table = timeline(listed(0, 2, 1, 5, 6, 4, keys=(0, 3)), "h264", "mp4")
    assert table and table.starts == (0, 0, 0, 3, 3, 0)
    assert [table.start(number) for number in range(6)] == [0, 0, 0, 0, 3, 3]


def test_what_a_broken_packet_spoils():
    table = timeline(listed(0, 2, 1, 5, 6, 4, 9, 8, keys=(0, 3, 6)), "h264", "mp4")
    assert isinstance(table, Timeline)

    def spoilt(*broken):
        return [packet for packet in range(8) if not table.is_sound(packet, broken)]

    assert spoilt(1) == [1, 2, 5]  # the rest of its group, and what is shown before the next key frame
    assert spoilt(5) == [5]  # which nothing after that key frame needs
    assert spoilt(3) == [3, 4, 5, 7]
    assert spoilt() == [] and spoilt(0, 3, 6) == list(range(8))


def test_hidden_packets_are_no_frames():
    table = timeline(listed(-2, -1, 0, 1, hidden=(0, 1)), "h264", "mp4")
    assert table and table.shown == (0, 1) and table.start(0) == 0


@pytest.mark.parametrize(
    ("found", "codec", "container"),
    [
        ([], "h264", "mp4"),
        (listed(0, None, 2), "h264", "mp4"),
        (listed(0, 1, 1), "h264", "mp4"),
        (listed(0, 1, keys=()), "h264", "mp4"),
        (listed(5, 3, 4), "hevc", "mp4"),  # a recording that was cut: the first two have nothing to refer to
        (listed(0, 1, hidden=(0, 1)), "h264", "mp4"),
        (listed(0, 1, 2), "h264", "avi"),  # a packet may be a field
        (listed(0, 1, 2), "mpeg2video", "mp4"),
        (listed(0, 1, 2, sizes={1: 7}), "mpeg4", "mp4"),  # "as before", for which there is no frame
    ],
)
def test_a_list_that_does_not_tell_the_frames(found, codec, container):
    assert timeline(found, codec, container) is None
    assert timeline(listed(0, 1, 2), "mpeg4", container) is not None


def test_against_the_decoder(tmp_path):
    path = film(tmp_path / "v.mp4", options=X264)
    found = packets(path)
    table = timeline([(p.pts, p.is_keyframe, p.is_discard, p.size) for p in found], "h264", "mp4")
    assert table and len(table.shown) == 40 and sum(p.is_keyframe for p in found) == 4
    assert list(np.unique(table.starts)) == [number for number, packet in enumerate(found) if packet.is_keyframe]
