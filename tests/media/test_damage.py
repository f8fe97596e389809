"""Cines of which some frames can be used: which, how many, and when there are too few."""

import io

import av
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit
from tests.media.films import X264, broken, film, frame, jpeg, mjpeg_avi, numbers_of, packets
from tests.media.test_dicom_colour import COLUMNS, ROWS, packed, scene
from tests.media.test_dicom_colour import jpeg as dicom_jpeg

from echosynth.common.errors import EchosynthError
from echosynth.media.decode import evenly, read_clip, read_stream, whole_clip
from echosynth.media.probe import j2k_size, jpeg_size

END = b"\xff\xd9"


def cut(data: bytes) -> bytes:
    """A JPEG that lacks a tenth of its data, but not its end marker."""
    return data[: len(data) * 9 // 10] + END


def cine(path, damaged, count=10):
    pictures = [jpeg(frame(number)) for number in range(count)]
    return mjpeg_avi(path, [cut(data) if number in damaged else data for number, data in enumerate(pictures)])


def test_a_still_that_ends_early_is_torn(tmp_path):
    (tmp_path / "p.jpg").write_bytes(cut(jpeg(frame(0, 480, 640))))
    with pytest.raises(EchosynthError, match=r"p\.jpg is torn: its end is missing"):
        read_clip(tmp_path / "p.jpg")


@pytest.mark.parametrize(
    ("damaged", "usable"), [({0}, 0.9), ({9}, 0.9), ({3, 4}, 0.8), ({0, 9}, 0.75), (set(range(1, 10)), 0.05)]
)
def test_as_many_may_be_damaged_as_the_share_leaves(tmp_path, damaged, usable):
    stream = read_stream(cine(tmp_path / "v.avi", damaged), range, usable)
    whole = [number for number in range(10) if number not in damaged]
    assert numbers_of(stream.frames) == stream.used == whole
    assert stream.lost == sorted(damaged)


@pytest.mark.parametrize(("damaged", "usable"), [({1, 2}, 0.9), ({7, 8, 9}, 0.75), (set(range(10)), 0.05)])
def test_fewer_are_refused(tmp_path, damaged, usable):
    path = cine(tmp_path / "v.avi", damaged)
    words = rf"v\.avi: fewer than {usable:.0%} of 10 frames can be used, which decoding\.usable asks for \(the last of"
    with pytest.raises(EchosynthError, match=words):
        whole_clip(read_stream(path, range, usable))


def test_only_wanted_frames_count(tmp_path):
    path = cine(tmp_path / "v.avi", {0, 1, 3, 4, 6, 7, 9})
    assert numbers_of(read_stream(path, lambda total: [2, 5, 8]).frames) == [2, 5, 8]
    with pytest.raises(EchosynthError, match=r"v\.avi: frame 3 of 10 cannot be decoded; copy it again"):
        whole_clip(read_stream(path, lambda total: [3], 0.1))  # one of one is none


def test_a_frame_of_another_size_is_never_stretched(tmp_path):
    pictures = [jpeg(frame(number)) for number in range(10)]
    pictures[4] = jpeg(frame(4, 96, 128))
    path = mjpeg_avi(tmp_path / "v.avi", pictures)
    stream = read_stream(path, range, 0.8)
    assert {picture.shape for picture in stream.frames} == {(48, 64, 3)} and stream.lost == [4]
    with pytest.raises(EchosynthError, match="frame 4 of 10 has 128 x 96 pixels and not 64 x 48"):
        read_clip(path)


def test_a_video_with_a_broken_packet(tmp_path):
    whole = read_clip(film(tmp_path / "v.mp4", options=X264)).frames
    path = broken(tmp_path / "v.mp4", 10)
    stream = read_stream(path, range, 0.5)
    found = list(stream.frames)
    for number, picture in zip(stream.used, found, strict=True):
        assert np.array_equal(picture, whole[number])
    assert 1 <= len(stream.lost) <= 12 and len(found) + len(stream.lost) == 40


def dicom(path, change, syntax=JPEGBaseline8Bit, count=10):
    streams = [dicom_jpeg(scene(number), transformed=True) for number in range(count)]
    return packed(path, "YBR_FULL", change(streams), syntax, NumberOfFrames=count)


def test_frames_of_dicom_that_end_early_or_lack_a_stream(tmp_path):
    def change(streams):
        streams[3], streams[6] = cut(streams[3]), b"\xff\xd8\xff\xe0 no JPEG "
        return streams

    stream = read_stream(dicom(tmp_path / "c.dcm", change), range, 0.8)
    found = list(stream.frames)
    assert stream.lost == [3, 6] and len(found) == 8
    for number, picture in zip(stream.used, found, strict=True):
        assert np.abs(picture.astype(int) - scene(number)).mean() < 4


def test_a_dicom_file_that_tells_of_more_frames_than_it_holds(tmp_path):
    path = dicom(tmp_path / "c.dcm", lambda streams: streams[:9])
    stream = read_stream(path, range, 0.8)
    assert len(list(stream.frames)) == 9 and stream.lost == [9] and stream.total == 10
    with pytest.raises(EchosynthError, match="fewer than 80% of 10 frames"):
        whole_clip(read_stream(dicom(tmp_path / "d.dcm", lambda streams: streams[:7]), range, 0.8))


def test_a_stream_that_claims_another_size_than_the_header_is_not_decoded(tmp_path, monkeypatch):
    claim = (60_000).to_bytes(2, "big") * 2

    def change(streams):
        at = streams[2].index(b"\xff\xc0") + 5
        streams[2] = streams[2][:at] + claim + streams[2][at + 4 :]
        return streams

    path = dicom(tmp_path / "c.dcm", change)
    words = rf"c\.dcm: frame 2 of 10 has 60000 x 60000 pixels and not {COLUMNS} x {ROWS} pixels; export it again"
    with pytest.raises(EchosynthError, match=words):
        read_clip(path)
    monkeypatch.setattr("echosynth.media.dicom.iter_pixels", lambda *args, **more: pytest.fail("decoded"))
    with pytest.raises(EchosynthError, match=words):
        whole_clip(read_stream(path, lambda total: [2]))


def test_sizes_in_streams():
    packed = io.BytesIO()
    Image.fromarray(scene(0)).save(packed, "JPEG2000", irreversible=False, no_jp2=True)
    assert j2k_size(io.BytesIO(packed.getvalue())) == (COLUMNS, ROWS)
    assert j2k_size(io.BytesIO(packed.getvalue()[:20])) is None
    assert j2k_size(io.BytesIO(b"no code stream at all, but long")) is None
    assert jpeg_size(io.BytesIO(b"\xff\xd8\xff\xf7\x00\x0b\x08\x00\x30\x00\x40\x01\x01\x11\x00")) == (64, 48)  # JPEG-LS


def test_a_jpeg_2000_stream_that_claims_another_size(tmp_path):
    out = io.BytesIO()
    Image.fromarray(scene(0)[:24]).save(out, "JPEG2000", irreversible=False, no_jp2=True)
    path = packed(tmp_path / "c.dcm", "RGB", [out.getvalue()], JPEG2000Lossless, NumberOfFrames=1)
    with pytest.raises(EchosynthError, match=r"frame 0 of 1 has 64 x 24 pixels and not 64 x 48"):
        read_clip(path)


def test_evenly_spaced_numbers():
    for total in range(1, 70):
        for most in (1, 2, 3, 7, 32):
            numbers = list(evenly(most)(total))
            assert 1 <= len(numbers) <= most and numbers[0] >= 0 and numbers[-1] < total
            steps = set(np.diff(numbers))
            assert len(steps) <= 1 and abs(numbers[0] - (total - 1 - numbers[-1])) <= 1


# Streams that can tell: by what their decoder had to make up, a hash of each picture, a check sum of each slice.
TOLD = {
    "b-frames.mp4": ("libx264", X264),
    "hash.mp4": ("libx265", {"x265-params": "keyint=10:min-keyint=10:bframes=3:log-level=none:hash=1"}),
    "check.avi": ("ffv1", {"slicecrc": "1", "level": "3"}),
}


@pytest.mark.parametrize("name", TOLD)
def test_damage_that_a_stream_can_tell_is_told(tmp_path, name):
    codec, options = TOLD[name]
    path = film(tmp_path / name, codec, options=options)
    data, whole, places = path.read_bytes(), read_clip(path).frames, packets(path)
    random = np.random.default_rng(0)
    refused = wrong = 0
    for packet in places[1:39:2]:
        damaged, at = bytearray(data), packet.pos + 8 + packet.size // 2
        damaged[at : at + 6] = random.integers(0, 256, 6, dtype=np.uint8).tobytes()
        path.write_bytes(damaged)
        stream = read_stream(path, range, 0.01)
        for number, picture in zip(stream.used if (found := list(stream.frames)) else [], found, strict=True):
            wrong += not np.array_equal(picture, whole[number])
        refused += len(stream.lost)
    assert refused
    # What H.264's decoder takes for a picture is one, and follows from no other but those behind it.
    assert wrong == 0 or (codec == "libx264" and wrong < refused / 4)


def test_a_frame_that_needs_a_later_one_is_judged_with_it(tmp_path):
    path = film(tmp_path / "v.mp4", options=X264)
    order = packets(path)
    # A P frame is decoded before the B frames that are shown before it.
    place = next(n for n in range(1, 30) if order[n].pts > order[n + 1].pts and order[n].size > 60)
    spoilt = sorted(packet.pts for packet in order).index(order[place].pts)
    before = read_clip(path).frames
    stream = read_stream(broken(path, place), range, 0.01)
    found = list(stream.frames)
    assert spoilt in stream.lost and spoilt - 1 in stream.lost
    assert all(np.array_equal(picture, before[number]) for number, picture in zip(stream.used, found, strict=True))


def test_a_compressed_meta_image_whose_values_are_damaged(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (4, 40, 56), dtype=np.uint8)
    for name in ("v.mha", "v.mhd"):
        sitk.WriteImage(sitk.GetImageFromArray(pictures), str(tmp_path / name), useCompression=True)
        assert np.array_equal(read_clip(tmp_path / name).frames, pictures)
        held = tmp_path / ("v.zraw" if name == "v.mhd" else name)
        data = bytearray(held.read_bytes())
        for place in range(-2000, -1, 331):
            data[place] ^= 4
            held.write_bytes(data)
            with pytest.raises(EchosynthError, match=rf"{name} (is damaged|is torn|unpacks to more)"):
                read_clip(tmp_path / name)
            data[place] ^= 4


def test_words_of_a_title_in_an_older_alphabet(tmp_path):
    path = tmp_path / "v.avi"
    with av.open(str(film(tmp_path / "s.avi", "mpeg4", frames=5))) as source, av.open(str(path), "w") as target:
        target.metadata["title"] = "Herzoeffnung"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    data = path.read_bytes()
    assert b"Herzoeffnung" in data
    path.write_bytes(data.replace(b"Herzoeffnung", b"Herz\xf6ffnungs"))
    assert read_clip(path).total == 5
