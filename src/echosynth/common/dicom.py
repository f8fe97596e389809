"""How a DICOM file is known without its name."""

import struct

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
