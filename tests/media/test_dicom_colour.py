"""Every file shows the same grey picture, stored in one of the ways of scanners, archives and converters."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

from echosynth.common.errors import EchosynthError
from echosynth.media.decode import read_clip, read_frame

ROWS, COLUMNS, FRAMES = 48, 64, 2
LOSSY = 12  # grey levels that JPEG may be off


def scene(number: int) -> np.ndarray:
    """(ROWS, COLUMNS, 3): a textured sector on black, with a mark at the upper left."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    inside = np.abs(x - COLUMNS / 2) < 0.7 * y
    grey = np.where(inside, 120 + 60 * np.sin(x / 5 + number) * np.cos(y / 7), 0)
    grey[2:8, 2:10] = 230
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


TRUTH = np.stack([scene(number) for number in range(FRAMES)])


def to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """By Pillow, whose conversion is JPEG's."""
    return np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in rgb])


def write(path: Path, label: str, data: bytes, syntax: str = ExplicitVRLittleEndian, **tags: object) -> Path:
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = UltrasoundMultiFrameImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    values: dict[str, object] = {
        "Rows": ROWS,
        "Columns": COLUMNS,
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "NumberOfFrames": FRAMES,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PhotometricInterpretation": label,
        "PixelData": data,
    }
    for name, value in (values | tags).items():
        setattr(header, name, value)
    header["PixelData"].VR = "OB"
    header.save_as(path, enforce_file_format=True)
    return path


def packed(path: Path, label: str, streams: list[bytes], syntax: str, **tags: object) -> Path:
    return write(path, label, encapsulate([stream + b"\0" * (len(stream) % 2) for stream in streams]), syntax, **tags)


def jpeg(rgb: np.ndarray, *, transformed: bool, subsampled: bool = False) -> bytes:
    """A JPEG that holds YCbCr, or red, green and blue as they are, with the marker that its encoder writes."""
    stream = io.BytesIO()
    options = {"subsampling": 2 if subsampled else 0, "keep_rgb": not transformed}
    Image.fromarray(rgb).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def without(data: bytes, marker: int) -> bytes:
    """A JPEG without the segments of that marker."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        out += b"" if data[at + 1] == marker else data[at:end]
        at = end
    return out + data[at:]


def named(data: bytes, names: bytes) -> bytes:
    """A JPEG whose components have other ids."""
    frame = data.index(b"\xff\xc0") + 10
    scan = data.index(b"\xff\xda") + 5
    changed = bytearray(data)
    for number in range(3):
        changed[frame + 3 * number] = changed[scan + 2 * number] = names[number]
    return bytes(changed)


JFIF, ADOBE = 0xE0, 0xEE
PLAIN = [jpeg(frame, transformed=True) for frame in TRUTH]
SUBSAMPLED = [jpeg(frame, transformed=True, subsampled=True) for frame in TRUTH]
UNTRANSFORMED = [jpeg(frame, transformed=False) for frame in TRUTH]
STREAMS = {
    "JFIF": PLAIN,
    "JFIF, of other numbers": [named(data, b"\0\1\2") for data in PLAIN],
    "numbered as in JFIF": [without(data, JFIF) for data in PLAIN],
    "subsampled": [named(without(data, JFIF), b"\0\1\2") for data in SUBSAMPLED],
    "Adobe, not transformed": [named(data, b"\1\2\3") for data in UNTRANSFORMED],
    "R, G, B": [without(data, ADOBE) for data in UNTRANSFORMED],
}


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_jpeg_says_which_colours_it_holds(tmp_path: Path, name: str, label: str) -> None:
    frames = read_clip(packed(tmp_path / "a.dcm", label, STREAMS[name], JPEGBaseline8Bit)).frames
    assert np.abs(frames.astype(int) - TRUTH).max() <= LOSSY


@pytest.mark.parametrize("name", ["JFIF", "Adobe, not transformed", "R, G, B"])
def test_a_second_decoder_sees_the_same(tmp_path: Path, name: str) -> None:
    other = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in STREAMS[name]])
    frames = read_clip(packed(tmp_path / "a.dcm", "RGB", STREAMS[name], JPEGBaseline8Bit)).frames
    assert np.abs(frames.astype(int) - other).max() <= 3  # two ways to round, and to convert


@pytest.mark.parametrize(("label", "transformed"), [("RGB", False), ("YBR_FULL", True)])
def test_the_header_counts_where_a_jpeg_says_nothing(tmp_path: Path, label: str, transformed: bool) -> None:
    """Numbers from 0 and equal sampling, as some converters write them."""
    streams = PLAIN if transformed else UNTRANSFORMED
    bare = [named(without(without(data, JFIF), ADOBE), b"\0\1\2") for data in streams]
    frames = read_clip(packed(tmp_path / "a.dcm", label, bare, JPEGBaseline8Bit)).frames
    assert np.abs(frames.astype(int) - TRUTH).max() <= LOSSY


@pytest.mark.parametrize("label", ["RGB", "YBR_RCT", "YBR_FULL"])
def test_the_transform_of_a_jpeg_2000_is_undone_once(tmp_path: Path, label: str) -> None:
    streams = []
    for frame in TRUTH:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG2000", irreversible=False, mct=1, no_jp2=True)
        streams.append(stream.getvalue())
    assert np.array_equal(read_clip(packed(tmp_path / "a.dcm", label, streams, JPEG2000Lossless)).frames, TRUTH)


def test_a_jpeg_2000_without_a_transform_holds_what_its_header_says(tmp_path: Path) -> None:
    streams = []
    for frame in to_ycbcr(TRUTH):
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG2000", irreversible=False, mct=0, no_jp2=True)
        streams.append(stream.getvalue())
    frames = read_clip(packed(tmp_path / "a.dcm", "YBR_FULL", streams, JPEG2000Lossless)).frames
    assert np.abs(frames.astype(int) - TRUTH).max() <= 1


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL"])
def test_run_lengths_hold_what_their_header_says(tmp_path: Path, label: str) -> None:
    stored = TRUTH if label == "RGB" else to_ycbcr(TRUTH)
    path = write(tmp_path / "a.dcm", label, stored.tobytes())
    header = pydicom.dcmread(path)
    header.compress(RLELossless, encoding_plugin="pydicom")
    header.save_as(path)
    assert np.abs(read_clip(path).frames.astype(int) - TRUTH).max() <= 1


def halved(ycbcr: np.ndarray) -> bytes:
    """Luma of two neighbours, then the chroma of the first (PS3.3 C.7.6.3.1.2, YBR_FULL_422)."""
    first, second = ycbcr[:, :, ::2], ycbcr[:, :, 1::2]
    return np.stack([first[..., 0], second[..., 0], first[..., 1], first[..., 2]], axis=-1).tobytes()


@pytest.mark.parametrize("frames", [1, 2])
def test_uncompressed_half_chroma_of_any_number_of_frames(tmp_path: Path, frames: int) -> None:
    path = write(tmp_path / "a.dcm", "YBR_FULL_422", halved(to_ycbcr(TRUTH[:frames])), NumberOfFrames=frames)
    assert np.abs(read_clip(path).frames.astype(int) - TRUTH[:frames]).max() <= 1
    assert np.abs(read_frame(path, lambda total: total - 1).frames.astype(int) - TRUTH[frames - 1]).max() <= 1


@pytest.mark.parametrize("stored", [TRUTH, to_ycbcr(TRUTH)])
def test_three_bytes_a_pixel_that_are_labelled_as_two(tmp_path: Path, stored: np.ndarray) -> None:
    path = write(tmp_path / "a.dcm", "YBR_FULL_422", stored.tobytes())
    assert np.abs(read_clip(path).frames.astype(int) - TRUTH).max() <= 1


def test_three_bytes_a_pixel_of_unknown_colours(tmp_path: Path) -> None:
    colourful = np.random.default_rng(0).integers(0, 256, TRUTH.shape, dtype=np.uint8)
    path = write(tmp_path / "a.dcm", "YBR_FULL_422", colourful.tobytes())
    with pytest.raises(EchosynthError, match=r"a\.dcm does not tell whether its pixels are RGB or YCbCr; export it"):
        read_frame(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"NumberOfFrames": 1},
        {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"},
        {"Rows": ROWS // 2},
        {"NumberOfFrames": 1, "PhotometricInterpretation": "YBR_FULL_422"},
    ],
)
def test_pixels_that_are_more_than_the_header_tells_are_no_picture(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = write(tmp_path / "a.dcm", "RGB", TRUTH.tobytes(), **wrong)
    with pytest.raises(EchosynthError, match=rf"a\.dcm holds {TRUTH.size} bytes of pixels where its header tells of "):
        read_frame(path)


def test_twice_as_many_bits_as_the_header_tells(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", "RGB", TRUTH.astype("<u2").tobytes())
    with pytest.raises(EchosynthError, match="so the header is wrong; export it again"):
        read_frame(path)


def test_bytes_behind_the_last_picture_are_no_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", "RGB", TRUTH.tobytes() + b"\0" * 500)
    assert np.array_equal(read_clip(path).frames, TRUTH)


@pytest.mark.parametrize("planar", [0, 1])
def test_uncompressed_pixels_as_a_second_reader_sees_them(tmp_path: Path, planar: int) -> None:
    stored = TRUTH.transpose(0, 3, 1, 2) if planar else TRUTH
    path = write(tmp_path / "a.dcm", "RGB", stored.tobytes(), PlanarConfiguration=planar)
    other = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert np.array_equal(read_clip(path).frames, other)
