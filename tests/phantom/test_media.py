"""Cines and pictures that the disk does not take whole."""

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from echosynth.phantom.media import write_avi, write_png


@pytest.fixture
def _small_files() -> Iterator[None]:
    """No file may grow beyond 64 KiB, which OpenCV takes as it takes a full disk: without a word."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_small_files")
def test_what_is_not_written_whole_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    write_avi(tmp_path / "short.avi", [noise] * 2, 90)
    write_png(tmp_path / "small.png", noise)
    with pytest.raises(OSError, match="No space left"):
        write_avi(tmp_path / "long.avi", [noise] * 20, 90)
    with pytest.raises(OSError, match="File too large"):
        write_png(tmp_path / "large.png", np.tile(noise, (4, 4, 1)))
