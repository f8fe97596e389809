"""What a DICOM file says of itself in its first bytes, without a library that reads it."""

import re
import struct
from typing import Final

HEAD = 1024  # bytes that hold the meta header
MEDIA_STORAGE_CLASS, TRANSFER_SYNTAX = 0x0002, 0x0010  # elements of group 2
_STORAGE = "1.2.840.10008.5.1.4.1.1"
# Beginnings of storage classes (PS3.4 B.5) whose objects hold no picture of their own.
WITHOUT_PICTURE: Final = (
    "1.2.840.10008.1.3.10",  # DICOMDIR
    f"{_STORAGE}.9.",  # waveforms
    f"{_STORAGE}.11.",  # presentation states
    f"{_STORAGE}.66",  # raw data, registrations, segmentations
    f"{_STORAGE}.88.",  # structured reports, key objects
    f"{_STORAGE}.104.",  # PDF and other documents
    f"{_STORAGE}.481.3",  # structure sets
    f"{_STORAGE}.481.5",  # plans
)
_SYNTAX = "1.2.840.10008.1.2"
# Transfer syntaxes for which pydicom and GDCM bring a decoder (PS3.6 A).
DECODABLE: Final = frozenset(
    [_SYNTAX, f"{_SYNTAX}.1", f"{_SYNTAX}.1.99", f"{_SYNTAX}.2", f"{_SYNTAX}.5"]  # plain, deflated, big endian, RLE
    + [f"{_SYNTAX}.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)]  # JPEG, JPEG-LS, JPEG 2000
)
LAST_FIRST_ELEMENT = 0x18  # of group 8: the object's UID, which every object has, so that no file begins later


def is_dicom(head: bytes) -> bool:
    """Say whether a file begins as DICOM does: with the preamble (PS3.10), or, as older scanners and archives write it,
    at once with an element of group 2 or 8, little endian, that names the form of its value or is short.

    Args:
        head: its first bytes, 132 or more of a longer file.
    """
    if head[128:132] == b"DICM":
        return True
    group, element, length = struct.unpack_from("<HHI", head.ljust(8, b"\0"))
    bare = group in (2, 8) and element <= LAST_FIRST_ELEMENT
    return bare and ((head[4:6].isalpha() and head[4:6].isupper()) or (0 < length <= 64 and length % 2 == 0))


def unusable(head: bytes) -> str:
    """Say why a DICOM file has no picture that can be decoded, by its meta header (group 2, PS3.10 7.1).

    Args:
        head: its first bytes, `HEAD` or more of a longer file.

    Returns:
        The end of a sentence such as "a DICOM object without a picture"; "" where the header says nothing against it.
        A file without meta header says nothing.
    """
    about = _meta(head)
    kind, syntax = about.get(MEDIA_STORAGE_CLASS, ""), about.get(TRANSFER_SYNTAX, "")
    if kind.startswith(WITHOUT_PICTURE):
        return "a DICOM object without a picture"
    if syntax and syntax not in DECODABLE:
        known = re.fullmatch(r"[0-9.]{1,64}", syntax)  # a damaged one may reach into what is private
        return f"DICOM in a transfer syntax that cannot be decoded ({syntax if known else 'damaged'})"
    return ""


def _meta(head: bytes) -> dict[int, str]:
    """Element -> text of what stands in group 2, which is always explicit and little endian."""
    found, at = {}, 132
    while head[128:132] == b"DICM" and at + 12 <= len(head) and head[at : at + 2] == b"\2\0":
        element = int.from_bytes(head[at + 2 : at + 4], "little")
        if head[at + 4 : at + 6] in (b"OB", b"OW", b"UN", b"UT", b"SQ"):  # a long form: two bytes more, then the length
            start, length = at + 12, int.from_bytes(head[at + 8 : at + 12], "little")
        else:
            start, length = at + 8, int.from_bytes(head[at + 6 : at + 8], "little")
        found[element] = head[start : start + length].decode("latin-1").strip("\0 ")
        at = start + length
    return found
