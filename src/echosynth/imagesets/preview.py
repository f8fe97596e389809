"""What a synthetic set looks like at a glance."""

import zipfile
from pathlib import Path

import cv2
import numpy as np

from echosynth.common.arrays import Image
from echosynth.common.views import VIEWS
from echosynth.imagesets.store import encode
from echosynth.imagesets.tiles import contact_grid

SHOWN, COLUMNS = 128, 4 * len(VIEWS)  # of a balanced set each column shows one view


def first_images(archive: Path) -> bytes:
    """A sheet of the first `SHOWN` images of a set, as PNG. No other is read, however large the set is.

    Args:
        archive: images.zip of the set, which holds one image at least. Its manifest need not lie beside it.

    Raises:
        ValueError, zipfile.BadZipFile: the archive is torn.
    """
    with zipfile.ZipFile(archive) as images:
        coded = [images.read(name) for name in images.namelist()[:SHOWN]]
    return encode(contact_grid(np.stack([_decoded(one) for one in coded]), min(COLUMNS, len(coded))))


def _decoded(coded: bytes) -> Image:
    picture = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError("no picture")
    return picture.astype(np.uint8, copy=False)
