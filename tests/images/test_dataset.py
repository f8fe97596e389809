"""Labelled images by id."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from echosynth.errors import EchosynthError
from echosynth.images.dataset import read_labelled
from echosynth.images.store import write_image_set


def write(folder: Path, source: str, views: list[str]) -> list[str]:
    """An image set whose pictures hold their own number."""
    ids = [f"{source}-{number}" for number in range(len(views))]
    manifest = pd.DataFrame({"id": ids, "source": source, "view": views, "group": ids, "group_kind": "file"})
    manifest = manifest.assign(official_split="", frame=0, frames=1, width=8, height=8, synthetic=False)
    write_image_set(folder, (np.full((8, 8), number, np.uint8) for number in range(len(views))), manifest)
    return ids


def test_images_of_several_sets_come_with_their_labels(tmp_path: Path) -> None:
    write(tmp_path / "a", "a", ["PLAX", "A2C", "PSAX"])
    write(tmp_path / "b", "b", ["A4C", "A4C"])
    data = read_labelled([tmp_path / "a", tmp_path / "b"], ["b-1", "a-2", "a-0"])
    assert data.ids.tolist() == ["a-0", "a-2", "b-1"]
    assert data.labels.tolist() == [2, 3, 1]
    assert data.images[:, 0, 0].tolist() == [0, 2, 1]
    assert data.by_view() == {"A2C": 0, "A4C": 1, "PLAX": 1, "PSAX": 1}


def test_an_unknown_id_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a", "a", ["PLAX"])
    with pytest.raises(EchosynthError, match="a-7 is in none"):
        read_labelled([tmp_path / "a"], ["a-0", "a-7"])


def test_the_hash_follows_pictures_labels_and_order(tmp_path: Path) -> None:
    write(tmp_path / "a", "a", ["PLAX", "A2C"])
    write(tmp_path / "b", "b", ["PLAX", "PSAX"])
    first = read_labelled([tmp_path / "a"])
    assert first.hash() == read_labelled([tmp_path / "a"]).hash()
    assert first.hash() != read_labelled([tmp_path / "b"]).hash()
    assert first.hash() != read_labelled([tmp_path / "a"], ["a-0"]).hash()
