import struct
from pathlib import Path

import cv2
import data_store
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

from echosynth.errors import EchosynthError
from echosynth.images.decode import read_clip, read_frame


def real(name: str) -> Path:
    """A picture that comes with pydicom or pydicom-data."""
    found = get_testdata_file(name, download=False)
    return Path(str(found)) if found else Path(data_store.__file__).parent / "data" / name


def last(total: int) -> int:
    return total - 1


def write_dicom(path: Path, pixels: np.ndarray, **tags: object) -> Path:
    """A grey DICOM file; `tags` overrule or add elements."""
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = UltrasoundImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    bits = pixels.dtype.itemsize * 8
    values = {
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": pixels.tobytes(),
    } | tags
    for name, value in values.items():
        setattr(header, name, value)
    header.save_as(path, enforce_file_format=True)
    return path


def region(x0: int, y0: int, x1: int, y1: int, **tags: object) -> pydicom.Dataset:
    item = pydicom.Dataset()
    values = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionLocationMinX0": x0,
        "RegionLocationMinY0": y0,
        "RegionLocationMaxX1": x1,
        "RegionLocationMaxY1": y1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.05,
        "PhysicalDeltaY": 0.025,
    } | tags
    for name, value in values.items():
        setattr(item, name, value)
    return item


@pytest.mark.parametrize(
    ("name", "shape", "total"),
    [
        ("examples_ybr_color.dcm", (240, 320, 3), 30),  # JPEG baseline, YBR_FULL_422, region of another size
        ("color3d_jpeg_baseline.dcm", (384, 512, 3), 120),  # the same cine with its region
        ("examples_palette.dcm", (350, 800, 3), 1),
        ("OBXXXX1A_rle_2frame.dcm", (459, 680, 3), 2),  # RLE, palette
        ("examples_rgb_color.dcm", (240, 320, 3), 1),
        ("examples_jpeg2k.dcm", (480, 640, 3), 1),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", (721, 997), 1),
        ("color-pl.dcm", (120, 256, 3), 1),  # planes of colour, the one below pixels of colour
    ],
)
def test_real_ultrasound(name, shape, total):
    clip = read_frame(real(name), last)
    assert clip.frames.shape == (1, *shape) and clip.frames.dtype == np.uint8
    assert (clip.first, clip.total) == (total - 1, total)
    # A picture, not noise: neighbours resemble each other.
    grey = clip.frames[0].reshape(*shape[:2], -1)[..., 0].astype(float)
    assert np.abs(np.diff(grey, axis=0)).mean() < 0.4 * grey.std()


def test_pixels_and_planes_of_colour_are_the_same_picture():
    by_pixel, by_plane = read_frame(real("color-px.dcm")).frames, read_frame(real("color-pl.dcm")).frames
    assert np.array_equal(by_pixel, by_plane)
    red, blue = by_pixel[0, ..., 0].astype(int), by_pixel[0, ..., 2].astype(int)
    assert ((red - blue) > 100).any() and ((blue - red) > 100).any()


def test_jpeg_2000_gives_the_colours_of_the_uncompressed_file():
    lossless, plain = read_frame(real("US1_J2KR.dcm")).frames, read_frame(real("US1_UNCR.dcm")).frames
    assert np.array_equal(lossless, plain)


def test_luma_and_chroma_are_converted():
    grey_cine = read_frame(real("examples_ybr_color.dcm")).frames[0].astype(int)
    assert np.median(np.ptp(grey_cine, axis=2)) <= 4  # left as YCbCr, the chroma would be 128 everywhere
    assert grey_cine[-40:, :20].max() < 30  # the lower left corner is black: the right way up


def test_a_region_crops_and_scales(tmp_path):
    pixels = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60).astype(np.uint8)
    regions = [region(0, 0, 9, 9), region(10, 5, 49, 34), region(0, 0, 59, 39, RegionDataType=10)]
    clip = read_frame(write_dicom(tmp_path / "r.dcm", pixels, SequenceOfUltrasoundRegions=regions))
    assert np.array_equal(clip.frames[0], pixels[5:35, 10:50])
    assert clip.spacing == pytest.approx((0.5, 0.25))
    assert "10,5 to 50,35, the largest of 2" in clip.note


@pytest.mark.parametrize("box", [(10, 5, 90, 34), (10, 5, 49, 60)])
def test_a_region_beyond_the_picture_is_ignored(tmp_path, box):
    pixels = np.zeros((40, 60), np.uint8)
    clip = read_frame(write_dicom(tmp_path / "r.dcm", pixels, SequenceOfUltrasoundRegions=[region(*box)]))
    assert clip.frames.shape == (1, 40, 60) and clip.spacing is None
    assert "larger than the picture of 60 x 40" in clip.note


def test_depth_window_and_inversion(tmp_path):
    ramp = np.array([[0, 1024, 2048, 4095]], np.uint16)

    def grey(pixels: np.ndarray, **tags: object) -> list[int]:
        return read_frame(write_dicom(tmp_path / "x.dcm", pixels, **tags)).frames[0, 0].tolist()

    twelve = {"BitsStored": 12, "HighBit": 11}
    assert grey(ramp, **twelve) == [0, 64, 128, 255]
    assert grey(ramp, **twelve, PhotometricInterpretation="MONOCHROME1") == [255, 191, 127, 0]
    assert grey(ramp, **twelve, WindowCenter=1024.5, WindowWidth=2049) == [0, 128, 255, 255]
    assert grey(ramp, **twelve, WindowCenter=2049, WindowWidth=4098, RescaleSlope=2, RescaleIntercept=0) == [
        0,
        127,
        255,
        255,
    ]
    assert grey(np.array([[-32768, 0, 32767]], np.int16)) == [0, 128, 255]
    # 8-bit values are for display already.
    assert grey(np.array([[0, 100, 200]], np.uint8), WindowCenter=50, WindowWidth=20) == [0, 100, 200]


def test_a_dicom_file_needs_no_suffix(tmp_path):
    pixels = np.full((4, 6), 7, np.uint8)
    path = write_dicom(tmp_path / "IM_0001", pixels, PixelSpacing=[0.2, 0.1])
    clip = read_frame(path)
    assert np.array_equal(clip.frames[0], pixels) and clip.spacing == (0.1, 0.2)


def test_video_frames_come_by_number(tmp_path, write_avi):
    path = write_avi(tmp_path / "v.avi", 12)
    for index in (0, 5, 11):
        clip = read_frame(path, lambda total, index=index: index)
        assert (clip.first, clip.total) == (index, 12)
        assert clip.frames.shape == (1, 112, 112, 3)
        assert clip.frames.mean() == pytest.approx(20 + 10 * index, abs=2)
    assert read_clip(path).frames.mean(axis=(1, 2, 3)) == pytest.approx(20 + 10 * np.arange(12), abs=2)
    some = read_clip(path, 4)
    assert len(some.frames) == 4 and some.total == 12


def test_video_colours_are_red_green_blue(tmp_path, write_avi):
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[..., 2] = 250  # OpenCV's red
    red, green, blue = read_frame(write_avi(tmp_path / "v.avi", frames=[frame] * 3)).frames[0].mean(axis=(0, 1))
    assert red > 200 and green < 50 and blue < 50


@pytest.mark.parametrize("promised", [0, 7, 200])
def test_the_header_may_lie_about_the_number_of_frames(tmp_path, write_avi, promised):
    path = write_avi(tmp_path / "v.avi", 12)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, promised)
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, promised)
    path.write_bytes(data)
    clip = read_frame(path, last)
    assert (clip.first, clip.total) == (11, 12)
    assert clip.frames.mean() == pytest.approx(130, abs=2)


def test_pictures(tmp_path):
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (20, 30), dtype=np.uint8), rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    (tmp_path / "g.png").write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    (tmp_path / "c.PNG").write_bytes(cv2.imencode(".png", colour)[1].tobytes())
    (tmp_path / "d.png").write_bytes(cv2.imencode(".png", grey.astype(np.uint16) * 257)[1].tobytes())
    (tmp_path / "j.jpg").write_bytes(cv2.imencode(".jpg", np.full((16, 16), 90, np.uint8))[1].tobytes())
    assert np.array_equal(read_frame(tmp_path / "g.png").frames[0], grey)
    assert np.array_equal(read_frame(tmp_path / "c.PNG").frames[0], colour[..., ::-1])
    assert np.array_equal(read_frame(tmp_path / "d.png").frames[0], grey)
    assert np.all(read_frame(tmp_path / "j.jpg").frames == 90)


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
    assert np.array_equal(read_frame(tmp_path / name, last).frames, frames[-1:])


def test_a_flat_volume_is_one_frame(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((8, 12), 9, np.uint8)), str(tmp_path / "s.mhd"))
    assert read_clip(tmp_path / "s.mhd").frames.shape == (1, 8, 12)


def test_values_beyond_8_bits_are_refused(tmp_path):
    for values in (np.full((2, 2), 300.0), np.full((2, 2), np.nan)):
        sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.float32)), str(tmp_path / "s.mhd"))
        with pytest.raises(EchosynthError, match=r"s\.mhd holds values.*0 to 255 are expected"):
            read_frame(tmp_path / "s.mhd")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.avi", "x.mp4", "x.dcm", "x.mhd", "x.nii.gz", "x"])
@pytest.mark.parametrize("content", [b"", b"this is a text, no picture\n" * 20])
def test_text_and_empty_files_are_named(tmp_path, name, content, capfd):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EchosynthError) as error:
        read_frame(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.avi", "x.dcm", "x.nii.gz"])
def test_torn_files_are_named(tmp_path, name, write_avi, capfd):
    path = tmp_path / name
    picture = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    if name == "x.avi":
        write_avi(path)
    elif name == "x.dcm":
        path.write_bytes(real("examples_jpeg2k.dcm").read_bytes())
    elif name == "x.nii.gz":
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(path))
    else:
        path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    read_frame(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])
    with pytest.raises(EchosynthError) as error:
        read_frame(path)
    assert str(path) in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_header_without_its_data_a_missing_file_and_a_missing_frame(tmp_path, write_avi):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.uint8)), str(tmp_path / "s.mhd"))
    (tmp_path / "s.raw").unlink()
    with pytest.raises(EchosynthError, match=r"s\.mhd cannot be read"):
        read_frame(tmp_path / "s.mhd")
    with pytest.raises(EchosynthError, match=r"gone\.png is missing"):
        read_frame(tmp_path / "gone.png")
    with pytest.raises(EchosynthError, match=r"v\.avi has 3 frames; there is no frame 3"):
        read_frame(write_avi(tmp_path / "v.avi", 3), lambda total: total)
