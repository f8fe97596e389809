"""Labelled images by id."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.imagesets.dataset import read_labelled, read_split, read_subset
from echosynth.imagesets.store import write_image_set


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "workspace"))


def write(folder: Path, source: str, views: list[str], side: int = 8) -> list[str]:
    """An image set whose pictures hold their own number."""
    ids = [f"{source}-{number}" for number in range(len(views))]
    manifest = pd.DataFrame({"id": ids, "source": source, "view": views, "group": ids, "group_kind": "file"})
    manifest = manifest.assign(official_split="", moment="", frame=0, frames=1, width=8, height=8, synthetic=False)
    write_image_set(folder, (np.full((side, side), number, np.uint8) for number in range(len(views))), manifest)
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
    with pytest.raises(EchosynthError, match=r"image a-7 is not in .* any more; run `dvc repro` to split anew"):
        read_labelled([tmp_path / "a"], ["a-0", "a-7"])


def test_the_hash_follows_pictures_labels_and_order(tmp_path: Path) -> None:
    write(tmp_path / "a", "a", ["PLAX", "A2C"])
    write(tmp_path / "b", "b", ["PLAX", "PSAX"])
    first = read_labelled([tmp_path / "a"])
    assert first.hash() == read_labelled([tmp_path / "a"]).hash()
    assert first.hash() != read_labelled([tmp_path / "b"]).hash()
    assert first.hash() != read_labelled([tmp_path / "a"], ["a-0"]).hash()


def test_the_hash_is_that_of_the_decoded_pictures(tmp_path: Path) -> None:
    """As it was before there were packs, so that states saved then still fit."""
    write(tmp_path / "a", "a", ["PLAX", "A2C"])
    pictures = np.stack([np.full((8, 8), number, np.uint8) for number in (0, 1)])
    digest = hashlib.blake2b(pictures.tobytes(), digest_size=16)
    digest.update(np.array([2, 0], np.int64).tobytes())
    for _ in range(2):
        data = read_labelled([tmp_path / "a"])
        assert data.hash() == digest.hexdigest()
        assert data.images.flags.writeable and data.images.flags.c_contiguous


def test_sets_of_different_sizes_and_nothing_at_all_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a", "a", ["PLAX"])
    write(tmp_path / "b", "b", ["PLAX"], side=16)
    with pytest.raises(EchosynthError, match="pictures of different sizes; run"):
        read_labelled([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(EchosynthError, match="none of the wanted pictures"):
        read_labelled([tmp_path / "a"], [])


def test_splits_and_subsets_are_checked_against_the_sets(tmp_path: Path) -> None:
    ids = write(paths.SOURCES / "a", "a", ["PLAX", "A2C", "PSAX"])
    paths.subset_file(2).parent.mkdir(parents=True)
    table = pd.DataFrame({"id": ids, "source": "a", "split": ["train", "test", "train"]})
    table.to_csv(paths.ASSIGNMENT, index=False)
    table.loc[[2, 0], ["id"]].to_csv(paths.subset_file(2), index=False)
    assert read_split(["a"], "train").ids.tolist() == ["a-0", "a-2"]
    assert read_subset(["a"], "2").ids.tolist() == ["a-0", "a-2"]
    table.assign(split="val").to_csv(paths.ASSIGNMENT, index=False)
    with pytest.raises(EchosynthError, match=r"assignment\.csv: split holds 'val'"):
        read_split(["a"], "train")
    table.assign(id=["a-0", "a-1", "a-9"]).to_csv(paths.ASSIGNMENT, index=False)
    with pytest.raises(EchosynthError, match="image a-9 is not in"):
        read_split(["a"], "train")
