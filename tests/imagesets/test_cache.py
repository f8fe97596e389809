"""Image sets are decoded once; every later read maps the pack."""

import errno
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.imagesets import cache as pack
from echosynth.imagesets.cache import packed
from echosynth.imagesets.store import FIXED_DATE, encode, write_image_set

COUNT = 6


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the packs."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "workspace"))
    return tmp_path / "workspace/.cache/images"


def pictures(seed: int = 0, side: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (COUNT, side, side), dtype=np.uint8)


def write(folder: Path, images: np.ndarray) -> Path:
    ids = [f"a-{number}" for number in range(len(images))]
    manifest = pd.DataFrame({"id": ids, "source": "a", "view": "A4C", "group": ids, "group_kind": "file"})
    manifest = manifest.assign(official_split="", moment="", frame=0, frames=1, width=8, height=8, synthetic=False)
    write_image_set(folder, images, manifest)
    return folder


def rewrite(folder: Path, members: list[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, FIXED_DATE), data)


def members(images: np.ndarray) -> list[tuple[str, bytes]]:
    return [(f"a-{number}.png", encode(image)) for number, image in enumerate(images)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each PNG that was decoded."""
    calls: list[int] = []
    real = cv2.imdecode
    monkeypatch.setattr(pack.cv2, "imdecode", lambda *args: calls.append(1) or real(*args))
    return calls


def test_pictures_are_decoded_once(tmp_path: Path, cache: Path, decoded: list[int]) -> None:
    folder = write(tmp_path / "set", pictures())
    for _ in range(3):
        found = packed(folder)
        assert np.array_equal(found, pictures()) and found.dtype == np.uint8
        assert not found.flags.writeable
    assert len(decoded) == COUNT
    assert len(list(cache.glob("*.npy"))) == 1


def test_equal_sets_share_a_pack_and_a_changed_set_has_its_own(tmp_path: Path, decoded: list[int]) -> None:
    packed(write(tmp_path / "set", pictures()))
    assert np.array_equal(packed(write(tmp_path / "twin", pictures())), pictures())
    assert len(decoded) == COUNT
    assert np.array_equal(packed(write(tmp_path / "set", pictures(1))), pictures(1))
    assert len(decoded) == 2 * COUNT


def test_parallel_readers_wait_for_one_builder(tmp_path: Path, decoded: list[int]) -> None:
    folder = write(tmp_path / "set", pictures())
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: packed(folder), range(8)):
            assert np.array_equal(found, pictures())
    assert len(decoded) == COUNT


def test_a_torn_pack_is_built_again(tmp_path: Path, cache: Path) -> None:
    folder = write(tmp_path / "set", pictures())
    packed(folder)
    file = next(cache.glob("*.npy"))
    whole = file.read_bytes()
    for torn in (b"", whole[:50], whole[:-10]):
        file.write_bytes(torn)
        assert np.array_equal(packed(folder), pictures())
        assert file.read_bytes() == whole


def test_pictures_that_are_not_those_of_the_manifest_are_named(tmp_path: Path, cache: Path) -> None:
    folder, good = write(tmp_path / "set", pictures()), members(pictures())
    other = members(pictures(1))
    for changed, words in (
        ([*good[:3], other[3], *good[4:]], r"set/images\.zip is damaged \(a-3\.png is not the picture of the manifest"),
        ([*good[:3], ("a-3.png", b"no picture"), *good[4:]], r"a-3\.png is no picture"),
        ([*good[:3], ("a-3.png", b""), *good[4:]], r"a-3\.png is no picture"),
        (good[:-1], r"image a-5 is not in .*images\.zip"),
        ([*good, ("a-6.png", good[0][1])], r"images\.zip: image a-6 is not in its manifest"),
    ):
        rewrite(folder, changed)
        with pytest.raises(EchosynthError, match=words):
            packed(folder)
        assert not list(cache.glob("*.npy*"))


def test_the_zip_is_looked_at_even_when_there_is_a_pack(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", pictures())
    packed(folder)
    rewrite(folder, members(pictures())[:-1])
    with pytest.raises(EchosynthError, match="image a-5 is not in"):
        packed(folder)
    (folder / "images.zip").unlink()
    with pytest.raises(EchosynthError, match=r"images\.zip is missing"):
        packed(folder)


def test_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    mixed = [*pictures()[:3], *pictures(side=24)[3:]]
    with pytest.raises(EchosynthError, match=r"a-3\.png is not square or not as large as the others"):
        packed(write(tmp_path / "set", mixed))  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_without_room_pictures_are_decoded_into_memory(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    folder = write(tmp_path / "set", pictures())

    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(pack.np.lib.format, "write_array_header_1_0", full)
    assert np.array_equal(packed(folder), pictures())
    assert "cannot write" in capsys.readouterr().err
    assert not list(cache.glob("*.npy*"))


def test_the_least_recently_used_packs_go(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (write(tmp_path / name, pictures(seed)) for name, seed in (("a", 0), ("b", 1)))
    packed(first)
    size = next(cache.glob("*.npy")).stat().st_size
    packed(second)
    names = {path.name for path in cache.glob("*.npy")}
    for path in cache.glob("*.npy"):
        os.utime(path, (1, 1))
    packed(first)  # used: now the younger of the two
    monkeypatch.setattr(pack, "MOST_BYTES", 2 * size)
    kept = np.array(packed(write(tmp_path / "c", pictures(2))))
    left = {path.name for path in cache.glob("*.npy")}
    assert len(left) == 2 and len(left & names) == 1 and np.array_equal(kept, pictures(2))
    monkeypatch.setattr(pack.cv2, "imdecode", None)
    packed(first)
