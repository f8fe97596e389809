"""Artifacts of runs that are rebuilt from stored files: the pictures that the stages logged, drawn again."""

import shutil
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from echosynth.files import write_json
from echosynth.images.grid import grid
from echosynth.images.store import Images, encode
from echosynth.track.plots import ConfusionPlot, PrecisionRecallPlot
from echosynth.views import VIEWS

SHOWN = 128  # synthetic images on a sheet
# One plot shows one result after another, which takes less than half the time of a new one for each.
_confusion, _curves = cache(ConfusionPlot), cache(PrecisionRecallPlot)


def nothing(folder: Path) -> None:
    """Write no artifacts."""


def copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copy files, whose mode in the cache is read-only, into `folder` under their names."""
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)


def scored(figures: Mapping[str, tuple[dict[str, Any], str]], scores: Mapping[str, Any], folder: Path) -> None:
    """Write confusion matrices, of which file names give the evaluation and the title, and scores.json."""
    for name, (evaluation, title) in figures.items():
        _confusion().show(evaluation, title)
        (folder / name).write_bytes(_confusion().png())
    write_json(folder / "scores.json", scores)


def precision_recall(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], title: str, file: Path
) -> None:
    """Write precision-recall curves, see `PrecisionRecallPlot.show`."""
    _curves().show(probabilities, labels, title)
    file.write_bytes(_curves().png())


def first_images(archive: Path) -> bytes:
    """A sheet of the first images of a set, as PNG."""
    with zipfile.ZipFile(archive) as images:
        coded = [images.read(name) for name in images.namelist()[:SHOWN]]
    return encode(grid(np.stack([_decoded(one) for one in coded]), 4 * len(VIEWS)))


def _decoded(coded: bytes) -> Images:
    picture = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError("no picture")
    return picture.astype(np.uint8, copy=False)
