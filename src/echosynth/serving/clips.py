"""Views of whole files: the probabilities of a cine's frames, averaged."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from echosynth.classifier.network import predict
from echosynth.common import dicom
from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress
from echosynth.common.views import VIEWS
from echosynth.media.apart import DECODERS
from echosynth.media.options import LIMITS, DecodingParams
from echosynth.media.probe import DICOM_SUFFIXES, kind_of
from echosynth.serving import requests
from echosynth.serving.view_classifier import ViewClassifier


@dataclass(frozen=True)
class Named:
    """A file and what it is called in results.

    Attributes:
        path: where it lies.
        name: relative to the folder in which it was found, or as it was given.
    """

    path: Path
    name: str


def listed(paths: Iterable[Path]) -> tuple[list[Named], int]:
    """The files to look at.

    Args:
        paths: files, which are taken whatever they are, and folders, of which the files of a kind that
            `echosynth.media.decode` reads are taken, with those of all folders below in sorted order. Hidden files and
            links to folders are left out.

    Returns:
        The files, and how many in the folders were left out.

    Raises:
        EchosynthError: a folder cannot be read or holds no picture.
    """
    found: list[Named] = []
    left_out = 0
    given = list(paths)
    alone = len(given) == 1  # else two folders might give one name to two files
    for path in given:
        if not path.is_dir():
            found.append(Named(path, str(path)))
            continue
        below = list(_below(path))
        pictures = [file for file in below if _is_picture(file)]
        if not pictures:
            raise EchosynthError(f"{path} holds no file that can be read as a picture; name another folder")
        left_out += len(below) - len(pictures)
        found += [Named(file, str(file.relative_to(path) if alone else file)) for file in pictures]
    return found, left_out


def _below(folder: Path) -> Iterator[Path]:
    """All files in a folder and the folders below, sorted."""

    def refuse(error: OSError) -> None:
        raise EchosynthError(f"{error.filename} cannot be read ({error.strerror}); check its permissions")

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names))


def _is_picture(path: Path) -> bool:
    if path.name.startswith(".") or not path.is_file():  # a pipe would wait for somebody to write
        return False
    try:
        kind = kind_of(path)
        if kind in DICOM_SUFFIXES:
            with path.open("rb") as stream:
                return not dicom.unusable(stream.read(dicom.HEAD))
        return kind is not None
    except OSError:
        return True  # whoever asked for the folder wants to know


def predict_clip(
    classifier: ViewClassifier, path: Path, max_frames: int, limits: DecodingParams = LIMITS
) -> dict[str, Any]:
    """The view of one file.

    Args:
        classifier: a trained network with its preprocessing.
        path: a cine or a still that `echosynth.media.decode` can read.
        max_frames: so many evenly spaced frames are looked at, at most (1 or more).
        limits: what decoding may use, and which share of these frames must be usable.

    Returns:
        view: the most probable one; frames: how many were averaged; chosen: how many were looked at, the others being
        damaged; total: frames of the file; probabilities: view -> mean probability.

    Raises:
        EchosynthError: the file cannot be read.
    """
    how = classifier.preprocessing
    arguments = asdict(how) | {"frames": max_frames, "pixels": limits.pixels, "usable": limits.usable}
    with DECODERS.job(f"{requests.__name__}:serve_path", str(path), limits, path=str(path), **arguments) as job:
        (read,) = requests.received(job, how, max_frames * how.size**2)
    means = predict(classifier.network, read.images).mean(axis=0, dtype=np.float64)
    return {
        "view": VIEWS[means.argmax()],
        "frames": len(read.images),
        "chosen": read.chosen,
        "total": read.total,
        "probabilities": {view: float(mean) for view, mean in zip(VIEWS, means, strict=True)},
    }


def predicted(classifier: ViewClassifier, file: Named, max_frames: int, limits: DecodingParams) -> dict[str, Any]:
    """Its name as `file` with what `predict_clip` returns, or with the reason as `error` when it cannot be read."""
    try:
        return {"file": file.name} | predict_clip(classifier, file.path, max_frames, limits)
    except EchosynthError as error:
        return {"file": file.name, "error": str(error)}


def predict_clips(
    classifier: ViewClassifier, files: Sequence[Named], max_frames: int, limits: DecodingParams = LIMITS
) -> list[dict[str, Any]]:
    """The views of many files, in their order; one that cannot be read does not stop the others.

    Args:
        classifier: a trained network with its preprocessing.
        files: cines and stills.
        max_frames: evenly spaced frames of a file, at most (1 or more).
        limits: see `predict_clip`.

    Returns:
        For each file what `predicted` returns.
    """
    return [
        predicted(classifier, file, max_frames, limits) for file in progress(files, len(files), "prediction", "files")
    ]
