"""What is visibly wrong with a media file: from its size, its first and its last bytes, decoding nothing.

The one place for these checks: decoding refuses what this refuses, so a quick look at a release tells what ingest will
say. Sizes in headers are checked here before any decoder takes memory for them.
"""

import math
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from echosynth.common.dicom import is_dicom, unusable
from echosynth.media.avi import avi_is_whole, avi_size

VIDEO_SUFFIXES = (".avi", ".mp4")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
VOLUME_SUFFIXES = (".mhd", ".mha", ".nii.gz", ".nii")
DICOM_SUFFIXES = (".dcm", ".dicom")
SUFFIXES = (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES, *VOLUME_SUFFIXES, *DICOM_SUFFIXES)

# A picture of more pixels than this is a broken or hostile header, unless a process allows another number: the largest
# screens have a tenth of it.
MAX_PIXELS = 2**27
_allowed = [MAX_PIXELS]
# Volumes are read whole: values of all their frames together.
MAX_VALUES = 2**29
# So much of a file's start holds every header that is looked at; so much of its end the closing bytes and what some
# programs append.
HEAD, TAIL = 1 << 16, 4096
# JPEGs have a dozen markers in front of the picture, MP4 files few boxes (or two for each fragment).
MOST_PARTS = 10_000
DIGITS = 10  # of a size: Python refuses to read or write numbers of thousands
JPEG_LS = 0xF7  # marker of its frame header
TORN = "is torn: its end is missing; copy it again"
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_TITLES = {
    ".avi": "AVI",
    ".mp4": "MP4",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".mhd": "MetaImage",
    ".mha": "MetaImage",
    ".nii.gz": "gzip",
    ".nii": "NIfTI",
    ".dcm": "DICOM",
    ".dicom": "DICOM",
}


def kind_of(path: Path) -> str | None:
    """The suffix, one of `SUFFIXES`, that says how `path` is read; None for other files. DICOM files often have no
    suffix and are known by their first bytes.

    Raises:
        OSError: the file cannot be read.
    """
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    with path.open("rb") as stream:
        return ".dcm" if is_dicom(stream.read(132)) else None


def allow_pixels(pixels: int) -> None:
    """Have this process refuse pictures of more pixels from now on."""
    _allowed[:] = [pixels]


def most_pixels() -> int:
    """How many pixels a picture may have in this process."""
    return _allowed[0]


def too_large(width: int, height: int, frames: int = 1, most: int | None = None) -> str | None:
    """What is wrong with pictures of that size, None when nothing is.

    Args:
        width: in pixels; a colour counts once.
        height: in pixels.
        frames: pictures that are read at once.
        most: pixels that a picture may have, where it is not what this process allows.
    """
    most = most or most_pixels()
    if width * height > most:
        return f"claims pictures of {width} x {height} pixels, more than decoding.pixels = {most} allows; leave it out"
    if width * height * frames > MAX_VALUES:
        return f"claims {frames} pictures of {width} x {height} pixels, too many to read at once; leave it out"
    return None


def content_kind(head: bytes) -> str:
    """What the first bytes say a file is; "" when they say nothing."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return "MP4"
    if is_dicom(head):
        return "DICOM"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head[:4] in (struct.pack("<i", 348), struct.pack(">i", 348), struct.pack("<i", 540), struct.pack(">i", 540)):
        return "NIfTI"
    return "MetaImage" if "NDims" in meta_header(head) else ""


def jpeg_size(stream: BinaryIO) -> tuple[int, int] | None:
    """Width and height of the JPEG that begins where `stream` stands; None when its markers cannot be followed."""
    stream.seek(2, 1)
    for _ in range(MOST_PARTS):
        marker = stream.read(2)
        while len(marker) == 2 and marker == b"\xff\xff":  # fill bytes
            marker = b"\xff" + stream.read(1)
        if len(marker) < 2 or marker[0] != 0xFF:
            return None
        code = marker[1]
        if code == 0x01 or 0xD0 <= code <= 0xD7:
            continue
        length = int.from_bytes(stream.read(2), "big")
        if code in (0xD9, 0xDA) or length < 2:
            return None
        if code == JPEG_LS or (0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC)):
            size = stream.read(5)
            return (int.from_bytes(size[3:5], "big"), int.from_bytes(size[1:3], "big")) if len(size) == 5 else None
        stream.seek(length - 2, 1)
    return None


def j2k_size(stream: BinaryIO) -> tuple[int, int] | None:
    """Width and height of the JPEG 2000 code stream that begins where `stream` stands (ITU-T T.800, A.5.1); None when
    it is none."""
    head = stream.read(24)
    if len(head) < 24 or head[:4] != b"\xff\x4f\xff\x51":  # SOC, SIZ
        return None
    right, bottom, left, top = struct.unpack_from(">4I", head, 8)
    return right - left, bottom - top


def meta_header(head: bytes) -> dict[str, str]:
    """Keys and values of a MetaImage header, ended by ElementDataFile; {} when the bytes are none."""
    header: dict[str, str] = {}
    for line in head.split(b"\n"):
        key, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            return {}
        header[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            return header
    return {}


def nifti_header(start: bytes) -> tuple[tuple[int, ...], int] | None:
    """Size along each axis and length of the file in bytes, by a NIfTI-1 or NIfTI-2 header; None when it is none."""
    for order in "<>":
        try:
            length = struct.unpack_from(f"{order}i", start)[0]
            if length not in (348, 540):
                continue
            dims = struct.unpack_from(*((f"{order}8h", start, 40) if length == 348 else (f"{order}8q", start, 16)))
            bits = struct.unpack_from(f"{order}h", start, 72 if length == 348 else 14)[0]
            offset = struct.unpack_from(*((f"{order}f", start, 108) if length == 348 else (f"{order}q", start, 168)))[0]
        except struct.error:
            return None
        if not (1 <= dims[0] <= 7 and math.isfinite(offset) and min(dims[1 : dims[0] + 1]) > 0):
            return None
        shape = dims[1 : dims[0] + 1]
        return shape, int(offset) + math.prod(shape) * max(bits, 0) // 8
    return None


def _volume_size(shape: tuple[int, ...]) -> str | None:
    width, height = (*shape, 1, 1)[:2]
    return too_large(width, height, math.prod(shape[2:]))


def _png(stream: BinaryIO, head: bytes, size: int) -> str | None:
    stream.seek(max(0, size - TAIL))
    if b"IEND\xaeB`\x82" not in stream.read(TAIL):
        return TORN
    return too_large(*struct.unpack_from(">II", head, 16))


def _jpeg(stream: BinaryIO, head: bytes, size: int) -> str | None:
    stream.seek(max(0, size - TAIL))
    if b"\xff\xd9" not in stream.read(TAIL):
        return TORN
    stream.seek(0)
    found = jpeg_size(stream)
    return too_large(*found) if found else "has no JPEG header that can be read; copy it again"


def _avi(stream: BinaryIO, head: bytes, size: int) -> str | None:
    """A torn AVI opens and gives its first frames."""
    if not avi_is_whole(stream, head, size):
        return "is torn: it is shorter than its header says; copy it again"
    found = avi_size(head)
    return too_large(*found) if found else None


def _mp4(stream: BinaryIO, head: bytes, size: int) -> str | None:
    """Follow the boxes at the top: the last must end with the file, and one must be the index."""
    position, names = 0, set()
    for _ in range(MOST_PARTS):
        stream.seek(position)
        box = stream.read(16)
        if len(box) < 8:
            break
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:], "big")
        names.add(box[4:8])
        if length == 0:  # to the end of the file
            break
        if length < 8 or position + length > size:
            return TORN
        position += length
    return None if b"moov" in names else "is torn: its index is missing; copy it again"


def _is_plain(name: str) -> bool:
    """Whether a MetaImage header names one file in its own folder: readers take a list or a pattern for several."""
    return re.fullmatch(r"(\./)?[^/\\%]+", name) is not None and name.split()[0] not in ("LIST", ".", "..")


def _meta(path: Path, head: bytes, size: int) -> str | None:
    header = meta_header(head)
    try:
        numbers = header["DimSize"].split()
        shape = tuple(int(number) for number in numbers if len(number) <= DIGITS)
        if len(shape) < len(numbers):
            return "claims an absurd size; leave it out"
    except (KeyError, ValueError):
        return "has no size in its header; copy it again"
    if len(shape) < 2 or min(shape) < 1:
        return "has no size of a picture in its header; copy it again"
    if problem := _volume_size(shape):
        return problem
    name, available = header.get("ElementDataFile", ""), size
    if name not in ("LOCAL", ""):
        if not _is_plain(name):
            return "takes its data from another folder or from several files; write it as one file (.mha)"
        data = path.parent / name
        if not data.is_file():
            return f"lacks its data file {name}; copy it, too"
        available = data.stat().st_size
    if header.get("CompressedData", "").lower() == "true" or header.get("BinaryData", "").lower() == "false":
        return None if available else f"has an empty data file {name}; copy it again"
    return TORN if available < meta_bytes(header) else None


def meta_bytes(header: Mapping[str, str]) -> int:
    """How many bytes of values a MetaImage header tells of that `probe` found right."""
    each = _META_BYTES.get(header.get("ElementType", "").removeprefix("MET_").removeprefix("U"), 1)
    channels = header.get("ElementNumberOfChannels", "1")
    shape = (int(number) for number in header["DimSize"].split())
    return math.prod(shape) * each * (int(channels) if re.fullmatch("[0-9]{1,4}", channels) else 1)


def _nifti(head: bytes, size: int | None) -> str | None:
    found = nifti_header(head)
    if not found:
        return "has no NIfTI header; copy it again"
    shape, needed = found
    if len(shape) < 2:
        return "has no size of a picture in its header; copy it again"
    return _volume_size(shape) or (TORN if size is not None and size < needed else None)


def unpacked_start(head: bytes) -> bytes:
    """The first bytes of what a gzip file holds, at most 1,000; b"" when it is torn or none."""
    try:
        return zlib.decompressobj(31).decompress(head, 1000)
    except zlib.error:
        return b""


def _look(path: Path, kind: str, stream: BinaryIO, size: int) -> str | None:
    head = stream.read(HEAD)
    title, found = _TITLES[kind], content_kind(head)
    if found != title:
        what = f"no {title} file: its content is {found}; rename it" if found else f"no {title} file; copy it again"
        return f"is {what}"
    if kind in (".mhd", ".mha"):
        return _meta(path, head, size)
    if kind in (".nii", ".nii.gz"):
        return _nifti(head, size) if kind == ".nii" else _nifti(unpacked_start(head), None)
    if title == "DICOM":
        return f"is {reason}; leave it out" if (reason := unusable(head)) else None
    looks = {"PNG": _png, "JPEG": _jpeg, "AVI": _avi, "MP4": _mp4}
    return looks[title](stream, head, size) if title in looks else None


def probe(path: Path) -> str | None:
    """What is visibly wrong with a file, in milliseconds.

    Args:
        path: of any kind that `echosynth.media.decode` reads, or of another.

    Returns:
        The end of a sentence that begins with the file's name, such as "is empty; copy it again"; None when nothing is
        wrong with its size, its first and its last bytes. It may still be damaged in between.
    """
    try:
        if not path.is_file():
            return "is missing"
        size = path.stat().st_size
        if not size:
            return "is empty; copy it again"
        kind = kind_of(path)
        if kind is None:
            return f"is of no known kind; known are {', '.join(SUFFIXES)} and DICOM without a suffix"
        with path.open("rb") as stream:
            return _look(path, kind, stream, size)
    except OSError as error:
        return f"cannot be read ({error.strerror}); check its permissions and its disk"
    except struct.error:
        return TORN
