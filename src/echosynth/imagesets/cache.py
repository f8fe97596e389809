"""The packed cache: an image set decoded once into one array of uint8, which training maps into memory.

A pack is named by the MD5 of its set's manifest, which holds a hash of every picture: an old pack can never be taken
for a new set, and equal sets share one.
"""

import contextlib
import hashlib
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
from filelock import FileLock

from echosynth.common.arrays import Image, Images
from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_file, explained, file_hash, workspace
from echosynth.common.progress import progress
from echosynth.imagesets.schema import MANIFEST, check_ids, read_csv

# All packs together; the least recently used go first.
MOST_BYTES: Final = 20 * 2**30
REMEDY: Final = "delete it and run `dvc repro`"


def pixel_hash(picture: Image) -> str:
    """16 hex digits that stand for the pixels of a picture: BLAKE2b of its bytes, row by row."""
    return hashlib.blake2b(np.ascontiguousarray(picture).reshape(-1).data, digest_size=8).hexdigest()


def read_manifest(folder: Path | str) -> pd.DataFrame:
    """Read and check the manifest of an image set; no picture is touched.

    Raises:
        EchosynthError: the file is missing or does not fit `echosynth.imagesets.schema.MANIFEST`.
    """
    return read_csv(Path(folder) / "manifest.csv", MANIFEST)


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The open ZIP of an image set; a missing or damaged one is named."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it") from None
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise EchosynthError(f"{path} is damaged ({error}); {REMEDY}") from None


def _check_members(path: Path, manifest: pd.DataFrame) -> None:
    """Check by its directory that a ZIP holds the pictures of the manifest and no others."""
    with _archive(path) as archive:
        members = [name.removesuffix(".png") for name in archive.namelist()]
    check_ids(manifest["id"].tolist(), members, str(path.with_name("manifest.csv")), str(path), REMEDY)
    check_ids(members, manifest["id"].tolist(), str(path), "its manifest.csv", REMEDY)
    if len(members) > len(manifest):
        raise EchosynthError(f"{path} holds a picture twice; {REMEDY}")


def _decoded(path: Path, manifest: pd.DataFrame) -> Iterator[Images]:
    """The pictures of a ZIP one by one in the order of the manifest, each checked against its hash."""
    shape: tuple[int, ...] | None = None
    with _archive(path) as archive:
        for name, pixels in zip(manifest["id"], manifest["pixels"], strict=True):
            data = np.frombuffer(archive.read(f"{name}.png"), np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
            if picture is None:
                raise EchosynthError(f"{path} is damaged ({name}.png is no picture); {REMEDY}")
            if pixel_hash(picture) != pixels:
                raise EchosynthError(f"{path} is damaged ({name}.png is not the picture of the manifest); {REMEDY}")
            shape = shape or (picture.shape[0], picture.shape[0])
            if picture.shape != shape:
                raise EchosynthError(f"{path}: {name}.png is not square or not as large as the others; {REMEDY}")
            yield picture


def _build(target: Path, pictures: Iterator[Images], count: int) -> None:
    """Write pictures as one .npy, one by one; plain writes, since on a full disk writing to mapped pages kills."""
    first = next(pictures)
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *first.shape)}
    with atomic_file(target) as part, part.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(first.tobytes())
        for picture in pictures:
            stream.write(picture.tobytes())
        stream.flush()
        os.fsync(stream.fileno())  # after a power cut a renamed file may hold zeros, and these are not checked again


def _open(path: Path, count: int) -> Images | None:
    """A pack that is there and whole, else None. Marks it as used."""
    try:
        pack: Images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return pack if pack.ndim == 3 and len(pack) == count and pack.dtype == np.uint8 else None


def _drop_old(keep: Path) -> None:
    """Delete the packs that were not used for longest until the others take less than `MOST_BYTES`."""
    packs = sorted(keep.parent.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = keep.stat().st_size
    for path in packs:
        if path != keep:
            total += path.stat().st_size
            if total > MOST_BYTES:
                path.unlink()


def packed(folder: Path | str, manifest: pd.DataFrame | None = None) -> Images:
    """All pictures of an image set, decoded and checked against their hashes the first time only.

    Parallel processes wait for each other. Where no pack can be written (a full disk, no permission) the pictures are
    decoded into memory, with a line on stderr.

    Args:
        folder: the image set.
        manifest: its manifest where it was read already.

    Returns:
        (N, side, side) uint8 in the order of the manifest, read-only and mapped from the disk: pages are read when
        they are touched.

    Raises:
        EchosynthError: a file is missing or damaged, the ZIP and the manifest hold different ids, or a picture is not
        the one that was hashed.
    """
    folder = Path(folder)
    manifest = read_manifest(folder) if manifest is None else manifest
    archive = folder / "images.zip"
    _check_members(archive, manifest)
    if manifest.empty:
        return np.zeros((0, 0, 0), np.uint8)
    count = len(manifest)
    pack = workspace() / ".cache" / "images" / f"{file_hash(folder / 'manifest.csv')}.npy"
    found = _open(pack, count)
    if found is not None:
        return found

    def pictures() -> Iterator[Images]:
        return progress(_decoded(archive, manifest), count, f"packing {folder}", "images")

    try:
        with explained(pack):
            pack.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(pack.parent / "lock"):
                found = _open(pack, count)
                if found is None:
                    _build(pack, pictures(), count)
                    _drop_old(pack)
                    found = _open(pack, count)
    except EchosynthError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        print(f"{error}; until then images are decoded anew by every stage", file=sys.stderr)
    return np.stack(list(pictures())) if found is None else found
