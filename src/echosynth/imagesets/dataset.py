"""Labelled images by split or subset: what training and scoring start from."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.common import paths
from echosynth.common.arrays import Images
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEW_INDEX, VIEWS
from echosynth.imagesets.cache import packed, read_manifest
from echosynth.imagesets.schema import ASSIGNMENT, SUBSET, SYNTHETIC_ID, check_ids, read_csv


@dataclass(frozen=True)
class LabelledImages:
    """Images with what is known of them: the one container from the manifest to the training step.

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

    @property
    def synthetic(self) -> int:
        """How many of them are synthetic, which their ids say."""
        return int(np.char.startswith(self.ids, SYNTHETIC_ID).sum())

    def by_view(self) -> dict[str, int]:
        """Number of images of each view."""
        return {view: int((self.labels == index).sum()) for index, view in enumerate(VIEWS)}

    def rows(self, kept: npt.NDArray[Any]) -> "LabelledImages":
        """Some of them: a mask (N,) bool, or indices."""
        return LabelledImages(*(getattr(self, column.name)[kept] for column in fields(self)))

    def joined(self, others: "LabelledImages") -> "LabelledImages":
        """These images, then `others`."""
        columns = ((getattr(self, column.name), getattr(others, column.name)) for column in fields(self))
        return LabelledImages(*map(np.concatenate, columns))

    def hash(self) -> str:
        """32 hex digits that identify pictures and labels in their order."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.images).reshape(-1).data, digest_size=16)
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


def read_labelled(folders: Iterable[Path], ids: Sequence[str] | None = None) -> LabelledImages:
    """Read images of several image sets.

    Args:
        folders: the image sets, in this order.
        ids: which images, in any order; all when None.

    Returns:
        The images of the first set in the order of its manifest, then those of the second, and so on.

    Raises:
        EchosynthError: a set is missing or damaged, the sets' pictures differ in size, or an id is in none of them.
    """
    folders, wanted = list(folders), None if ids is None else set(ids)
    found = []
    for folder in folders:
        manifest = read_manifest(folder)
        chosen = manifest if wanted is None else manifest[manifest["id"].isin(wanted)]
        found.append((chosen, packed(folder, manifest)))
    manifest = pd.concat([chosen for chosen, _ in found], ignore_index=True)
    if ids is not None and len(manifest) < len(ids):
        check_ids(
            ids, manifest["id"].tolist(), "the split", "any of the image sets any more", "run `dvc repro` to split anew"
        )
    return LabelledImages(
        images=_joined([(chosen.index.to_numpy(), pack) for chosen, pack in found if len(chosen)], folders),
        labels=np.array(manifest["view"].map(VIEW_INDEX), dtype=np.int64),
        groups=manifest["group"].to_numpy(str),
        sources=manifest["source"].to_numpy(str),
        ids=manifest["id"].to_numpy(str),
    )


def _joined(parts: Sequence[tuple[npt.NDArray[np.int64], Images]], folders: Sequence[Path]) -> Images:
    """Rows of several packs in one new array, copied once only: a full set takes gigabytes."""
    shapes = {pack.shape[1:] for _, pack in parts}
    if len(shapes) != 1:
        names = ", ".join(map(str, folders))
        what = "pictures of different sizes" if shapes else "none of the wanted pictures"
        raise EchosynthError(f"{names} hold {what}; run `dvc repro` to make them anew")
    joined = np.empty((sum(len(rows) for rows, _ in parts), *shapes.pop()), np.uint8)
    start = 0
    for rows, pack in parts:
        # mode="clip" lets numpy write straight into the result; every row is in range.
        np.take(pack, rows, axis=0, out=joined[start : start + len(rows)], mode="clip")
        start += len(rows)
    return joined


def read_split(sources: Sequence[str], split: str) -> LabelledImages:
    """Real images of one split (train, validation, test) from the given sources.

    Raises:
        EchosynthError: the assignment or a set is missing or damaged, or they do not fit together.
    """
    assignment = read_csv(paths.ASSIGNMENT, ASSIGNMENT)
    ids = assignment.loc[assignment["split"] == split, "id"].tolist()
    return read_labelled([paths.SOURCES / source for source in sources], ids)


def read_subset(sources: Sequence[str], size: str) -> LabelledImages:
    """Real images of one nested training subset.

    Raises:
        EchosynthError: the list of the subset or a set is missing or damaged, or they do not fit together.
    """
    ids = read_csv(paths.subset_file(size), SUBSET)["id"].tolist()
    return read_labelled([paths.SOURCES / source for source in sources], ids)
