"""MetaImage and NIfTI, written by SimpleITK and changed byte by byte where other programs write otherwise."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from echosynth.common.errors import EchosynthError
from echosynth.media.decode import read_clip, read_frame

CINE = (np.arange(3 * 20 * 30) % 251).astype(np.uint8).reshape(3, 20, 30)


def nifti(path: Path, *changes: tuple[int, str, tuple[float, ...]], frames: np.ndarray = CINE) -> Path:
    """`CINE` with pixels of 0.2 x 0.3 mm as NIfTI-1, with other values at some places of its header."""
    image = sitk.GetImageFromArray(frames)
    image.SetSpacing((0.2, 0.3, 1.0))
    plain = path.parent / "plain.nii"
    sitk.WriteImage(image, str(plain))
    data = bytearray(plain.read_bytes())
    for place, form, values in changes:
        struct.pack_into(form, data, place, *values)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["s.mhd", "s.nii.gz"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_volumes_are_upright_with_their_spacing_and_never_rescaled(tmp_path, name, kind):
    frames = np.random.default_rng(0).integers(10, 120, (3, 8, 12)).astype(kind)
    image = sitk.GetImageFromArray(frames + (0.4 if kind is np.float32 else 0))
    image.SetSpacing((0.308, 0.154, 1.0))
    sitk.WriteImage(image, str(tmp_path / name))
    clip = read_clip(tmp_path / name)
    assert np.array_equal(clip.frames, frames) and clip.frames.dtype == np.uint8
    assert clip.spacing == pytest.approx((0.308, 0.154))
    assert np.array_equal(read_frame(tmp_path / name, lambda total: total - 1).frames, frames[-1:])


def test_a_flat_volume_is_one_frame(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((8, 12), 9, np.uint8)), str(tmp_path / "s.mhd"))
    assert read_clip(tmp_path / "s.mhd").frames.shape == (1, 8, 12)


def test_values_beyond_8_bits_are_refused(tmp_path):
    for values in (np.full((2, 2), 300.0), np.full((2, 2), np.nan)):
        sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.float32)), str(tmp_path / "s.mhd"))
        with pytest.raises(EchosynthError, match=r"s\.mhd holds values.*0 to 255 are expected"):
            read_frame(tmp_path / "s.mhd")


def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "b.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 4), 9, np.uint8)), str(path))
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole + bytes(1 << 22)))
    read_frame(path)  # a little more than promised does no harm
    monkeypatch.setattr("echosynth.media.volume.SLACK", 1 << 20)
    with pytest.raises(EchosynthError, match=r"b\.nii\.gz unpacks to more than its header says"):
        read_frame(path)


# Where NIfTI-1 has its sizes, its codes of orientation and its affine.
DIM, CODES, AFFINE = 40, 252, 280


@pytest.mark.parametrize("name", ["s.nii", "s.nii.gz"])
@pytest.mark.parametrize(
    "affine",
    [
        (0.0,) * 12,
        (0.2, 0.05, 0, 0, 0.02, 0.3, 0, 0, 0, 0, 1, 0),
        (0.2, 0.2, 0, 0, 0, 0.3, 0, 0, 0, 0, 1, 0),
        (0.2, 0.1, 0.5, 0, 0.1, 0.3, 0.2, 0, 0, 0.3, 1, 0),
    ],
)
def test_axes_that_lie_anywhere_leave_the_pixels_alone(tmp_path: Path, name: str, affine: tuple[float, ...]) -> None:
    clip = read_clip(nifti(tmp_path / name, (CODES, "<2h", (0, 1)), (AFFINE, "<12f", affine)))
    assert np.array_equal(clip.frames, CINE)
    assert clip.spacing == pytest.approx((0.2, 0.3))


def test_the_note_says_that_the_orientation_was_ignored(tmp_path: Path) -> None:
    path = nifti(tmp_path / "s.nii", (CODES, "<2h", (0, 1)), (AFFINE, "<12f", (0.0,) * 12))
    assert read_clip(path).note == "orientation ignored: its axes are not at right angles"
    assert read_clip(nifti(tmp_path / "t.nii")).note == ""


def test_a_metaimage_without_axes_is_named_with_what_to_correct(tmp_path: Path) -> None:
    path = tmp_path / "s.mhd"
    sitk.WriteImage(sitk.GetImageFromArray(CINE), str(path))
    axes = "TransformMatrix = 1 0 0 0 1 0 0 0 1"
    assert axes in path.read_text()
    path.write_text(path.read_text().replace(axes, axes.replace("1", "0")))
    with pytest.raises(EchosynthError, match=r"s\.mhd has axes that are not at right angles; correct TransformMatrix"):
        read_frame(path)


@pytest.mark.parametrize("sizes", [(4, 30, 20, 1, 3, 1, 1, 1), (5, 30, 20, 1, 1, 3, 1, 1), (4, 30, 20, 3, 1, 1, 1, 1)])
def test_time_may_stand_in_any_place(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    assert np.array_equal(read_clip(nifti(tmp_path / "s.nii", (DIM, "<8h", sizes))).frames, CINE)


def test_a_volume_over_time_is_no_cine(tmp_path: Path) -> None:
    path = nifti(tmp_path / "s.nii", (DIM, "<8h", (4, 30, 10, 2, 3, 1, 1, 1)))
    with pytest.raises(EchosynthError, match=r"has the shape \(3, 2, 10, 30\); a picture or a sequence"):
        read_frame(path)


@pytest.mark.parametrize("name", ["s.nii.gz", "s.mhd"])
@pytest.mark.parametrize("values", [CINE / np.float32(255), np.zeros((4, 4), np.uint8), (CINE > 99).astype(np.uint8)])
def test_shares_of_white_are_no_grey_levels(tmp_path: Path, name: str, values: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / name))
    with pytest.raises(EchosynthError, match=r"holds values from 0\S* to [01]\S* nothing but black .* by 255"):
        read_frame(tmp_path / name)
