"""The sheet that goes with a synthetic set."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from echosynth.imagesets.preview import first_images
from echosynth.imagesets.store import encode


def sheet(folder: Path, count: int) -> np.ndarray:
    """The sheet of a set of which image n is as bright as n says."""
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(count):
            archive.writestr(f"synthetic-{number:06d}.png", encode(np.full((2, 2), number, np.uint8)))
    return cv2.imdecode(np.frombuffer(first_images(folder / "images.zip"), np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_sheet_shows_the_beginning_of_a_set_sixteen_in_a_row(tmp_path: Path) -> None:
    shown = sheet(tmp_path, 130)
    assert shown.shape == (8 * 3 - 1, 16 * 3 - 1)
    assert [shown[0, 0], shown[0, -1], shown[3, 0], shown[-1, -1]] == [0, 15, 16, 127]


def test_few_images_have_nothing_white_beside_them(tmp_path: Path) -> None:
    assert sheet(tmp_path, 5).shape == (2, 5 * 3 - 1)


@pytest.mark.parametrize(("content", "error"), [(b"torn", ValueError), (None, zipfile.BadZipFile)])
def test_torn_archives_are_refused(tmp_path: Path, content: bytes | None, error: type[Exception]) -> None:
    path = tmp_path / "images.zip"
    if content is None:
        path.write_bytes(b"PK")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("synthetic-000000.png", content)
    with pytest.raises(error):
        first_images(path)
