"""The container AVI: its chunks, and what its headers say of the pictures."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

# At the top of a file stand few chunks, or a part for each gigabyte.
MOST_CHUNKS = 10_000
HAS_INDEX = 0x10  # among the flags of the main header
CHUNKS = (b"hdrl", b"movi", b"idx1", b"RIFF")  # others may be what some program appended


def avi_size(head: bytes) -> tuple[int, int] | None:
    """Width and height in the format of an AVI's video stream; None when there is none in its first bytes."""
    at = head.find(b"strf", max(head.find(b"vids"), 0))
    if at < 0 or len(head) < at + 20:
        return None
    width, height = struct.unpack_from("<ii", head, at + 12)
    return abs(width), abs(height)  # a negative height means from top to bottom


def avi_spacing(head: bytes) -> tuple[float, float] | None:
    """Relative width and height of a pixel by the video properties header (`vprp`, OpenDML 1.02) in an AVI's first
    bytes; None where they are square, or it is missing or states no shape."""
    at, end = head.find(b"vprp"), head.find(b"movi")
    if at < 0 or len(head) < at + 40 or 0 <= end < at:
        return None
    down, across, width, height = struct.unpack_from("<HHII", head, at + 28)  # of the picture as shown; in pixels
    known = min(down, across, width, height) > 0 and across * height != down * width
    return (across * height, down * width) if known else None


def avi_chunks(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """The chunks at the top of an AVI of `size` bytes, in their order: name (of a list, of what it lists), first byte,
    and length of the content, which may reach beyond the end of a torn file. What the RIFF header says of the length is
    not asked: some writers are a few bytes off."""
    position = 12
    for _ in range(MOST_CHUNKS):
        stream.seek(position)
        start = stream.read(12)
        if len(start) < 8 or position + 8 > size:
            return
        name, length = start[:4], int.from_bytes(start[4:8], "little")
        if name == bytes(4):  # padding
            position += 4
            continue
        yield start[8:12] if name == b"LIST" else name, position, length
        position += 8 + length + length % 2


def avi_is_whole(stream: BinaryIO, head: bytes, size: int) -> bool:
    """Whether an AVI of `size` bytes, which begins with `head`, has all of its end.

    The length in its first header tells, or where that is off the lengths of its chunks. An index that the header
    promises has to be there as far as that length says.
    """
    stated = int.from_bytes(head[4:8], "little") + 8
    if stated == size:
        return True
    names = set()
    for name, position, length in avi_chunks(stream, size):
        names.add(name)
        if name in CHUNKS and position + 8 + length > size:
            return False
    at = head.find(b"avih")
    promised = 0 <= at <= len(head) - 24 and int.from_bytes(head[at + 20 : at + 24], "little") & HAS_INDEX
    return stated < size or (b"movi" in names and (b"idx1" in names or not promised))
