from pathlib import Path

import data_store
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, UltrasoundImageStorage

from echosynth.common.errors import EchosynthError
from echosynth.media.decode import read_clip, read_frame


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


SAME = {  # pictures of one content in other transfer syntaxes and photometric interpretations -> allowed difference
    "SC_rgb.dcm": {
        "SC_rgb_rle.dcm": 0,
        "SC_rgb_16bit.dcm": 0,
        "SC_rgb_rle_16bit.dcm": 0,
        "SC_rgb_32bit.dcm": 0,
        "SC_rgb_expb.dcm": 0,
        "SC_rgb_jpeg_gdcm.dcm": 0,  # JPEG lossless
        "SC_rgb_gdcm_KY.dcm": 2,  # JPEG 2000
        "SC_rgb_jls_lossy_line.dcm": 3,  # JPEG-LS
        "SC_ybr_full_uncompressed.dcm": 6,
        "SC_ybr_full_422_uncompressed.dcm": 60,  # the colour of two neighbours in one, which shows at edges
        "SC_rgb_jpeg_dcmtk.dcm": 60,  # JPEG baseline, YBR_FULL
        "SC_rgb_dcmtk_+eb+cr.dcm": 4,  # JPEG baseline, RGB
    },
    "OBXXXX1A.dcm": {"OBXXXX1A_expb.dcm": 0, "OBXXXX1A_rle.dcm": 0},  # palette; big endian
    "emri_small.dcm": {
        "emri_small_RLE.dcm": 0,
        "emri_small_big_endian.dcm": 0,
        "emri_small_jpeg_2k_lossless.dcm": 0,
        "emri_small_jpeg_ls_lossless.dcm": 0,
    },
    "US1_UNCI.dcm": {"US1_J2KI.dcm": 12},  # lossy JPEG 2000, YBR_ICT
    "gdcm-US-ALOKA-16.dcm": {"gdcm-US-ALOKA-16_big.dcm": 0},  # segmented palette
}


@pytest.mark.parametrize(("plain", "other"), [(plain, other) for plain, others in SAME.items() for other in others])
def test_one_picture_in_many_encodings(plain, other):
    first, second = (read_frame(real(name)).frames.astype(int) for name in (plain, other))
    difference = np.abs(first - second)
    assert first.shape == second.shape and difference.max() <= SAME[plain][other]
    assert first.std() > 5


def test_every_picture_that_comes_with_pydicom_is_read_or_refused_in_one_sentence():
    folders = [Path(str(get_testdata_file("CT_small.dcm", download=False))).parent]
    read = refused = 0
    for path in sorted(path for folder in folders for path in folder.glob("*.dcm")):
        try:
            clip = read_frame(path)
            assert clip.frames.dtype == np.uint8 and clip.frames.ndim in (3, 4)
            read += 1
        except EchosynthError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            refused += 1
    assert read > 40 and refused > 5


def test_deflated_files_and_a_deflate_bomb(tmp_path, monkeypatch):
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    path = write_dicom(tmp_path / "d.dcm", pixels)
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)
    assert np.array_equal(read_frame(path).frames[0], pixels)
    monkeypatch.setattr("echosynth.media.dicom.MAX_VALUES", 100)
    with pytest.raises(EchosynthError, match=r"d\.dcm unpacks to more than any recording holds"):
        read_frame(path)


def test_an_absurd_size_is_refused_before_any_pixel(tmp_path):
    path = write_dicom(tmp_path / "b.dcm", np.zeros((4, 4), np.uint8), Rows=65535, Columns=65535)
    with pytest.raises(EchosynthError, match=r"b\.dcm claims pictures of 65535 x 65535 pixels"):
        read_frame(path)


@pytest.mark.parametrize("claimed", [0, 3, 10**6])
def test_the_header_may_lie_about_the_number_of_frames(tmp_path, claimed):
    path = write_dicom(tmp_path / "n.dcm", np.zeros((4, 4), np.uint8), NumberOfFrames=claimed)
    if claimed == 0:
        assert read_frame(path).total == 1
    else:
        with pytest.raises(EchosynthError, match=r"n\.dcm cannot be decoded as DICOM"):
            read_frame(path, last)


def test_only_the_wanted_frames_of_a_plain_cine_are_read(tmp_path, monkeypatch):
    frames = np.arange(6 * 20 * 30, dtype=np.uint32).reshape(6, 20, 30).astype(np.uint8)
    path = write_dicom(tmp_path / "c.dcm", frames[0], NumberOfFrames=6, PixelData=frames.tobytes(), Rows=20, Columns=30)
    assert np.array_equal(read_clip(path).frames, frames)
    whole = pydicom.dcmread
    monkeypatch.setattr("echosynth.media.dicom.DEFERRED", 1000)  # smaller than this cine
    monkeypatch.setattr(
        pydicom, "dcmread", lambda *a, **k: whole(*a, **k) if k.get("defer_size") else pytest.fail("read whole")
    )
    assert np.array_equal(read_frame(path, lambda total: 4).frames[0], frames[4])


def test_pixels_may_be_higher_than_wide(tmp_path):
    pixels = np.zeros((4, 6), np.uint8)
    assert read_frame(write_dicom(tmp_path / "a.dcm", pixels, PixelAspectRatio=[2, 1])).spacing == (1, 2)
    both = {"PixelSpacing": [0.2, 0.1], "PixelAspectRatio": [1, 3]}
    assert read_frame(write_dicom(tmp_path / "b.dcm", pixels, **both)).spacing == (0.1, 0.2)
    boxed = {"SequenceOfUltrasoundRegions": [region(0, 0, 5, 3, PhysicalUnitsXDirection=0)], "PixelAspectRatio": [2, 1]}
    assert read_frame(write_dicom(tmp_path / "c.dcm", pixels, **boxed)).spacing == (1, 2)
    assert read_frame(write_dicom(tmp_path / "d.dcm", pixels, PixelSpacing=[0, 0.1])).spacing is None


@pytest.mark.parametrize("shift", [0, 8])
def test_palettes_hold_their_values_in_the_upper_or_the_lower_byte(tmp_path, shift):
    table = (np.arange(256, dtype=np.uint16)[::-1] << shift).astype("<u2").tobytes()
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = table
    frame = read_frame(write_dicom(tmp_path / "p.dcm", np.array([[0, 100, 255]], np.uint8), **tags)).frames[0]
    assert frame[0].tolist() == [[255] * 3, [155] * 3, [0] * 3]


def test_a_file_without_a_picture():
    with pytest.raises(EchosynthError, match="is a DICOM object without a picture; leave it out"):
        read_frame(real("rtplan.dcm"))


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("name", ["x.dcm", "IM_0001"])
def test_neither_preamble_nor_meta_header(tmp_path: Path, name: str, implicit: bool) -> None:
    pixels = np.arange(80, dtype=np.uint8).reshape(2, 5, 8)
    tags = {"Rows": 5, "Columns": 8, "NumberOfFrames": 2, "PixelData": pixels.tobytes()}
    header = pydicom.dcmread(write_dicom(tmp_path / "whole.dcm", pixels[0], **tags))
    bare = pydicom.Dataset(header)
    bare.save_as(tmp_path / name, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert (tmp_path / name).read_bytes()[:2] == b"\x08\x00"
    assert np.array_equal(read_clip(tmp_path / name).frames, pixels)


def test_a_torn_file_without_preamble(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x.dcm", np.zeros((40, 40), np.uint8))
    bare = pydicom.Dataset(pydicom.dcmread(path))
    bare.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=False)
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(EchosynthError, match=r"x\.dcm cannot be decoded as DICOM"):
        read_frame(path)


@pytest.mark.parametrize("name", ["RegionLocationMinX0", "RegionLocationMaxY1"])
def test_a_region_that_lacks_a_corner_is_ignored(tmp_path: Path, name: str) -> None:
    pixels = np.arange(2400, dtype=np.uint16).reshape(40, 60).astype(np.uint8)
    part = region(10, 5, 49, 34)
    delattr(part, name)
    clip = read_frame(write_dicom(tmp_path / "r.dcm", pixels, SequenceOfUltrasoundRegions=[part]))
    assert np.array_equal(clip.frames[0], pixels)
    assert clip.note == f"ultrasound region ignored: it lacks {name}"
