"""Labelled images by split or subset: what training and scoring start from."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth import paths
from echosynth.errors import EchosynthError
from echosynth.images.store import Images, read_image_set
from echosynth.views import VIEW_INDEX, VIEWS


@dataclass(frozen=True)
class LabelledImages:
    """Images with what is known of them.

    Attributes:
        images: (N, S, S) uint8.
        labels: (N,) int64, index of the view.
        groups: (N,) salted hash of the patient (or cine, or file).
        sources: (N,) name of the release.
        ids: (N,) ids of the manifest.
    """

    images: Images
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[Any]
    sources: npt.NDArray[Any]
    ids: npt.NDArray[Any]

    def by_view(self) -> dict[str, int]:
        """Number of images of each view."""
        return {view: int((self.labels == index).sum()) for index, view in enumerate(VIEWS)}

    def hash(self) -> str:
        """32 hex digits that identify pictures and labels in their order."""
        digest = hashlib.blake2b(self.images.tobytes(), digest_size=16)
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


def read_labelled(folders: Iterable[Path], ids: Sequence[str] | None = None) -> LabelledImages:
    """Read images of several image sets.

    Args:
        folders: the image sets, in this order.
        ids: which images, in any order; all when None.

    Raises:
        EchosynthError: a set is missing or damaged, or an id is in none of them.
    """
    sets = [read_image_set(folder, ids) for folder in folders]
    manifest = pd.concat([item.manifest for item in sets], ignore_index=True)
    if ids is not None and len(manifest) < len(ids):
        lost = next(name for name in ids if name not in set(manifest["id"]))
        raise EchosynthError(f"image {lost} is in none of the image sets any more; run `dvc repro` to split anew")
    return LabelledImages(
        images=np.concatenate([item.images for item in sets if len(item.manifest)]),
        labels=np.array(manifest["view"].map(VIEW_INDEX), dtype=np.int64),
        groups=manifest["group"].to_numpy(str),
        sources=manifest["source"].to_numpy(str),
        ids=manifest["id"].to_numpy(str),
    )


def read_split(sources: Sequence[str], split: str) -> LabelledImages:
    """Real images of one split (train, validation, test) from the given sources."""
    assignment = pd.read_csv(paths.ASSIGNMENT)
    ids = assignment.loc[assignment["split"] == split, "id"].tolist()
    return read_labelled([paths.SOURCES / source for source in sources], ids)


def read_subset(sources: Sequence[str], size: str) -> LabelledImages:
    """Real images of one nested training subset."""
    ids = pd.read_csv(paths.subset_file(size))["id"].tolist()
    return read_labelled([paths.SOURCES / source for source in sources], ids)
