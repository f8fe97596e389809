import gzip
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from echosynth.common.errors import EchosynthError
from echosynth.media.avi import avi_size
from echosynth.media.decode import read_frame
from echosynth.media.probe import jpeg_size, nifti_header, probe

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
DICOM_START = bytes(128) + b"DICM"
MP4 = struct.pack(">I4s8s", 16, b"ftyp", b"isomiso2") + struct.pack(">I4s", 8, b"moov")


def encoded(suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, PICTURE)[1])


def volume(path: Path, frames: int = 2) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.repeat(PICTURE[None], frames, 0)), str(path))
    return path


@pytest.fixture
def whole(tmp_path, write_avi):
    """A whole file of every kind, by its name."""
    (tmp_path / "x.png").write_bytes(encoded(".png"))
    (tmp_path / "x.jpg").write_bytes(encoded(".jpg"))
    (tmp_path / "x.dcm").write_bytes(DICOM_START)
    (tmp_path / "IM0001").write_bytes(DICOM_START)
    (tmp_path / "x.mp4").write_bytes(MP4)
    paths = [write_avi(tmp_path / "x.avi"), *(volume(tmp_path / f"v.{suffix}") for suffix in ("mhd", "nii", "nii.gz"))]
    sitk.WriteImage(sitk.GetImageFromArray(PICTURE), str(tmp_path / "packed.mhd"), useCompression=True)
    paths += [tmp_path / name for name in ("x.png", "x.jpg", "x.dcm", "IM0001", "x.mp4", "packed.mhd")]
    return {path.name: path for path in paths}


def test_nothing_is_wrong_with_whole_files(whole):
    assert {name: probe(path) for name, path in whole.items()} == dict.fromkeys(whole)


def test_empty_missing_and_unknown_files(tmp_path):
    (tmp_path / "x.png").touch()
    (tmp_path / "notes.txt").write_text("text")
    assert probe(tmp_path / "x.png") == "is empty; copy it again"
    assert probe(tmp_path / "gone.png") == probe(tmp_path) == "is missing"
    assert "is of no known kind; known are .avi" in (probe(tmp_path / "notes.txt") or "")


@pytest.mark.parametrize("name", ["x.avi", "x.png", "x.jpg", "v.nii", "x.mp4"])
def test_torn_files(whole, name):
    data = whole[name].read_bytes()
    for share in (0.5, 0.9):
        whole[name].write_bytes(data[: max(12, int(len(data) * share))])
        assert "is torn" in (probe(whole[name]) or ""), share


def test_a_torn_film_without_its_index(tmp_path):
    (tmp_path / "x.mp4").write_bytes(MP4[:16] + struct.pack(">I4s", 0, b"mdat") + bytes(50))
    assert probe(tmp_path / "x.mp4") == "is torn: its index is missing; copy it again"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.png", "x.avi", "is no PNG file: its content is AVI; rename it"),
        ("a.avi", "x.png", "is no AVI file: its content is PNG; rename it"),
        ("a.png", "x.jpg", "is no PNG file: its content is JPEG; rename it"),
        ("a.jpeg", "x.png", "is no JPEG file: its content is PNG; rename it"),
        ("a.dcm", "x.png", "is no DICOM file: its content is PNG; rename it"),
        ("a.nii", "v.nii.gz", "is no NIfTI file: its content is gzip; rename it"),
        ("a.nii.gz", "v.nii", "is no gzip file: its content is NIfTI; rename it"),
        ("a.mhd", "x.dcm", "is no MetaImage file: its content is DICOM; rename it"),
        ("a.mp4", "v.mhd", "is no MP4 file: its content is MetaImage; rename it"),
    ],
)
def test_mislabelled_files(tmp_path, whole, name, content, problem):
    (tmp_path / name).write_bytes(whole[content].read_bytes())
    assert probe(tmp_path / name) == problem
    with pytest.raises(EchosynthError, match=f"{name} {problem}"):
        read_frame(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.avi", "a.mp4", "a.dcm", "a.mhd", "a.nii", "a.nii.gz"])
def test_text_is_no_picture(tmp_path, name):
    (tmp_path / name).write_text("this is a text\n" * 30)
    assert "file; copy it again" in (probe(tmp_path / name) or "")


def test_a_meta_image_without_its_data(whole, tmp_path):
    data = (tmp_path / "v.raw").read_bytes()
    (tmp_path / "v.raw").write_bytes(data[:-1])
    assert "is torn" in (probe(whole["v.mhd"]) or "")
    (tmp_path / "v.raw").unlink()
    assert probe(whole["v.mhd"]) == "lacks its data file v.raw; copy it, too"
    (tmp_path / "packed.zraw").write_bytes(b"")
    assert probe(whole["packed.mhd"]) == "has an empty data file packed.zraw; copy it again"


@pytest.mark.parametrize(
    "data", ["../v.raw", "/etc/hostname", "..\\v.raw", "in/v.raw", "LIST 2", "v%d.raw 1 2 1", ".."]
)
def test_a_meta_image_may_not_take_its_data_from_elsewhere(whole, tmp_path, data):
    (tmp_path / "in").mkdir()
    header = whole["v.mhd"].read_text().replace("v.raw", data)
    (tmp_path / "in/v.mhd").write_text(header)
    assert "from another folder or from several files" in (probe(tmp_path / "in/v.mhd") or "")


@pytest.mark.parametrize("size", ["4 4 " + "9" * 4000, "9" * 4200 + " 4", "4 99999999999"])
def test_a_meta_image_of_absurd_size(tmp_path, size):
    text = f"ObjectType = Image\nNDims = 2\nDimSize = {size}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "v.mha").write_bytes(text.encode() + bytes(100))
    assert probe(tmp_path / "v.mha") == "claims an absurd size; leave it out"


def png_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_bomb() -> bytes:
    data = bytearray(encoded(".jpg"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 60000, 60000)
    return bytes(data)


def avi_bomb(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    struct.pack_into("<ii", data, data.index(b"strf") + 12, 60000, -60000)
    return bytes(data)


def nifti_bomb(frames: int = 1) -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 30000, 30000 if frames == 1 else 1000, frames, 1, 1, 1, 1)
    struct.pack_into("<hhh", header, 70, 2, 8, 0)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header) + bytes(100)


def test_lines_of_values_and_absurd_numbers_of_channels(tmp_path):
    line, absurd = tmp_path / "line.mha", tmp_path / "absurd.mha"
    text = "ObjectType = Image\nNDims = {}\nBinaryData = True\nDimSize = {}\n{}ElementType = MET_UCHAR\n"
    end = "ElementDataFile = LOCAL\n"
    line.write_bytes((text.format(1, "7", "") + end).encode() + bytes(7))
    assert probe(line) == "has no size of a picture in its header; copy it again"
    with pytest.raises(EchosynthError, match="no size of a picture"):
        read_frame(line)
    channels = f"ElementNumberOfChannels = {'9' * 5000}\n"
    absurd.write_bytes((text.format(2, "7 1", channels) + end).encode() + bytes(7))
    probe(absurd)
    with pytest.raises(EchosynthError, match=r"absurd\.mha"):
        read_frame(absurd)


def test_absurd_sizes_are_refused_by_the_header(tmp_path, whole):
    bombs = {
        "b.png": png_bomb(),
        "b.jpg": jpeg_bomb(),
        "b.avi": avi_bomb(whole["x.avi"]),
        "b.nii": nifti_bomb(),
        "b.nii.gz": gzip.compress(nifti_bomb()),
        "b.mhd": whole["v.mhd"].read_bytes().replace(b"DimSize = 60 40 2", b"DimSize = 60000 60000 2"),
    }
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(
            EchosynthError, match=r"claims pictures of \d0000 x \d0000 pixels, more than decoding.pixels = "
        ):
            read_frame(tmp_path / name)


def test_too_many_frames_to_read_at_once(tmp_path, whole):
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(nifti_bomb(1000)))
    assert probe(tmp_path / "b.nii.gz") == (
        "claims 1000 pictures of 30000 x 1000 pixels, too many to read at once; leave it out"
    )
    many = whole["v.mhd"].read_bytes().replace(b"DimSize = 60 40 2", b"DimSize = 60 40 9999999")
    (tmp_path / "b.mhd").write_bytes(many)
    assert "claims 9999999 pictures of 60 x 40" in (probe(tmp_path / "b.mhd") or "")


def test_sizes_by_the_headers(tmp_path, whole):
    for options in ({}, {"progressive": True}, {"exif": Image.Exif()}, {"comment": b"x" * 60000}):
        stream = io.BytesIO()
        Image.fromarray(PICTURE).save(stream, "JPEG", **options)
        stream.seek(0)
        assert jpeg_size(stream) == (60, 40)
    assert avi_size(whole["x.avi"].read_bytes()) == (112, 112)
    shape, length = nifti_header(whole["v.nii"].read_bytes()) or ((), 0)
    assert shape[:3] == (60, 40, 2) and length == whole["v.nii"].stat().st_size


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["x.avi", "v.mhd", "v.nii", "v.nii.gz", "x.png", "x.jpg", "x.mp4", "IM0001"]),
    places=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=12),
    kept=st.floats(0, 1),
)
def test_damaged_headers_are_read_or_refused_in_one_sentence(whole, name, places, kept):
    data = bytearray(whole[name].read_bytes())
    for place, value in places:
        data[place % len(data)] = value
    path = whole[name].parent / "fuzz" / name
    path.parent.mkdir(exist_ok=True)
    (path.parent / "v.raw").write_bytes((whole[name].parent / "v.raw").read_bytes())
    path.write_bytes(data if kept > 0.3 else data[: int(len(data) * kept)])
    problem = probe(path)
    assert problem is None or "\n" not in problem
    try:
        assert read_frame(path, lambda total: total - 1).frames.dtype == np.uint8
    except EchosynthError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
