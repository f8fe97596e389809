"""Files decoded in a child process: the same frames and the same words, within limits."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from tests.media.films import broken, film, frame, jpeg, mjpeg_avi, number_of

from echosynth.common.errors import EchosynthError
from echosynth.media import apart, decode
from echosynth.media.decode import evenly, whole_clip
from echosynth.media.options import LIMITS


def limited(**changes):
    return LIMITS.model_copy(update=changes)


@pytest.fixture
def files(tmp_path):
    """One of each kind, and some that are refused."""
    picture = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "p.png"), picture)
    cv2.imwrite(str(tmp_path / "p.jpg"), cv2.merge([picture] * 3))
    volume = sitk.GetImageFromArray(np.stack([picture] * 3))
    volume.SetSpacing((0.5, 0.25, 1))
    sitk.WriteImage(volume, str(tmp_path / "v.mhd"))
    sitk.WriteImage(volume, str(tmp_path / "v.nii.gz"))
    film(tmp_path / "h.mp4", frames=12)
    mjpeg_avi(tmp_path / "m.avi", [jpeg(frame(number)) for number in range(9)])
    names = ("examples_ybr_color.dcm", "examples_jpeg2k.dcm", "MR_small.dcm")
    real = [Path(str(get_testdata_file(name, download=False))) for name in names]
    (tmp_path / "torn.png").write_bytes((tmp_path / "p.png").read_bytes()[:-20])
    (tmp_path / "notes.txt").write_text("no picture")
    return [*sorted(tmp_path.iterdir()), *real, tmp_path / "missing.dcm"]


def outcome(read, *args):
    try:
        return read(*args)
    except EchosynthError as error:
        return str(error)


def test_every_kind_as_in_this_process(files):
    kinds = set()
    for path in files:
        for choose in (range, evenly(4)):
            here = outcome(lambda p=path, c=choose: whole_clip(decode.read_stream(p, c)))
            there = outcome(lambda p=path, c=choose: whole_clip(apart.read_stream(p, c)))
            if isinstance(here, str):
                assert here == there
            else:
                assert np.array_equal(here.frames, there.frames) and here.frames.dtype == there.frames.dtype
                assert here.frames.flags.writeable == there.frames.flags.writeable
                facts = [(clip.spacing, clip.first, clip.total, clip.note) for clip in (here, there)]
                assert facts[0] == facts[1]
            kinds.add(type(here))
    assert kinds == {str, decode.Clip}


def test_one_frame_and_a_choice_that_is_refused(tmp_path):
    path = film(tmp_path / "h.mp4", frames=12)
    clip = apart.read_frame(path, LIMITS, lambda total: total - 1)
    assert (clip.first, clip.total, number_of(clip.frames[0])) == (11, 12, 11)
    for _ in range(2):
        with pytest.raises(EchosynthError, match="there is no frame 12"):
            apart.read_frame(path, LIMITS, lambda total: total)

    def refuse(total):
        raise EchosynthError(f"none of {total}")

    with pytest.raises(EchosynthError, match="none of 12"):
        apart.read_frame(path, LIMITS, refuse)
    assert apart.read_frame(path).total == 12


def test_names_as_they_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = b"\xff odd:%d.png".decode("utf-8", "surrogateescape")
    cv2.imwrite("x.png", np.zeros((8, 8), np.uint8))
    Path("x.png").rename(name)
    assert apart.read_frame(name).frames.shape == (1, 8, 8)
    with pytest.raises(EchosynthError, match=r"^gone\.png is missing"):
        apart.read_frame("gone.png")


def test_several_at_a_time(tmp_path):
    path = film(tmp_path / "h.mp4", frames=6)
    first, second = (apart.read_stream(path, range) for _ in range(2))
    for one, other in zip(first.frames, second.frames, strict=True):
        assert np.array_equal(one, other)


def test_limits_on_pixels_and_memory(tmp_path):
    path = tmp_path / "large.png"  # 100 kB
    cv2.imwrite(str(path), np.zeros((6000, 6000, 3), np.uint8))
    with pytest.raises(
        EchosynthError, match=r"claims pictures of 6000 x 6000 pixels, more than decoding\.pixels = 999"
    ):
        apart.read_frame(path, limited(pixels=999))
    with pytest.raises(EchosynthError, match=r"large\.png takes more memory than decoding\.memory = 64 MiB"):
        apart.read_frame(path, limited(memory=64))
    assert apart.read_frame(path).frames.shape == (1, 6000, 6000, 3)


def test_memory_that_a_dicom_decoder_lacks():
    path = get_testdata_file("examples_ybr_color.dcm", download=False)
    tiny = limited(memory=1)
    with pytest.raises(EchosynthError, match=r"takes more memory than decoding\.memory = 1 MiB"):
        whole_clip(apart.read_stream(path, range, tiny))
    assert whole_clip(apart.read_stream(path, range)).total


def test_damaged_frames_are_passed_over_and_told(tmp_path):
    path = broken(film(tmp_path / "h.mp4", frames=20, options={"g": "1"}), 7)
    with pytest.raises(EchosynthError, match="frame 7 of 20 cannot be decoded"):
        whole_clip(apart.read_stream(path, range, limited(usable=1.0)))
    stream = apart.read_stream(path, range, limited(usable=0.9))
    assert [number_of(picture) for picture in stream.frames] == [*range(7), *range(8, 20)]
    assert stream.lost == [7] and stream.used == [*range(7), *range(8, 20)]
