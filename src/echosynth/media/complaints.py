"""What libjpeg says of a damaged picture: on stderr and nowhere else.

OpenCV, GDCM and Pillow fill what a JPEG lacks with grey and return it as if it were whole. Not thread safe: all that
goes to stderr in the block is taken, so this is for a process that does nothing but decode.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import FileIO
from typing import Final

STDERR: Final = 2
DAMAGE: Final = (b"Corrupt JPEG data", b"Premature end of JPEG")
HARMLESS: Final = b"extraneous bytes"  # padding, which some cameras write


@cache
def _paper(process: int) -> FileIO:
    """Where a process takes them down."""
    file: FileIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    return file


class Heard:
    """Whether a picture is damaged; known after the block."""

    damage = False


@contextmanager
def complaints() -> Iterator[Heard]:
    """Listen while pictures are decoded."""
    heard, paper, kept = Heard(), _paper(os.getpid()), os.dup(STDERR)
    os.dup2(paper.fileno(), STDERR)
    try:
        yield heard
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        if os.fstat(paper.fileno()).st_size:
            said = os.pread(paper.fileno(), 1 << 16, 0)
            paper.truncate(0)
            paper.seek(0)
            heard.damage = any(line.startswith(DAMAGE) and HARMLESS not in line for line in said.splitlines())
