"""Image sets: `images.zip` (stored PNGs with fixed dates) + `manifest.csv`, the same for real and synthetic sets.

One ZIP instead of thousands of files: DVC hashes, copies and checks it five to ten times faster. The same pictures
give the same bytes. Reading goes through the packed cache, see `echosynth.imagesets.cache`.
"""

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from echosynth.common.arrays import Image, Images
from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_folder, write_json
from echosynth.imagesets.cache import packed, pixel_hash, read_manifest
from echosynth.imagesets.schema import MANIFEST, check, check_ids

__all__ = [
    "ImageSet",
    "Images",
    "pixel_hash",
    "read_image_set",
    "read_images",
    "read_manifest",
    "write_image_set",
    "write_image_stream",
]

DEFECT = "the stage that makes it has a defect; please report it"
FIXED_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ImageSet:
    """Pictures and what is known of them.

    Attributes:
        images: (N, side, side) uint8, in the order of the manifest.
        manifest: N rows with the columns of `echosynth.imagesets.schema.MANIFEST`.
    """

    images: Images
    manifest: pd.DataFrame


def encode(picture: Image) -> bytes:
    """A grey picture (H, W) uint8 as the bytes of a PNG.

    Raises:
        EchosynthError: it cannot be encoded.
    """
    done, encoded = cv2.imencode(".png", picture)
    if not done:
        raise EchosynthError(f"a picture of shape {picture.shape} cannot be encoded as PNG; it must be grey, 8 bit")
    return encoded.tobytes()


def write_image_stream(
    folder: Path | str,
    rows: Iterable[tuple[dict[str, Any], Image | bytes]],
    extra: Callable[[], Mapping[str, object]] = dict,
) -> None:
    """Write an image set whole or not at all, picture by picture, so that memory does not grow with the set.

    Args:
        folder: where; replaced when it is there.
        rows: a row of the manifest and its grey picture: (side, side) uint8, whose `pixels` is computed here, or the
        bytes of a PNG, for a row that holds `pixels` already (see `pixel_hash`).
        extra: asked after the last picture: name of a JSON file to lie beside the manifest -> its content.

    Raises:
        EchosynthError: a row does not fit `echosynth.imagesets.schema.MANIFEST`, or a picture cannot be encoded.
    """
    written: list[dict[str, Any]] = []
    with atomic_folder(folder) as part:
        with zipfile.ZipFile(part / "images.zip", "w", zipfile.ZIP_STORED) as archive:
            for row, picture in rows:
                if isinstance(picture, bytes):
                    data = picture
                else:
                    data, row = encode(picture), row | {"pixels": pixel_hash(picture)}
                archive.writestr(zipfile.ZipInfo(f"{row['id']}.png", FIXED_DATE), data)
                written.append(row)
        table = pd.DataFrame(written) if written else pd.DataFrame(columns=list(MANIFEST.columns))
        manifest = check(MANIFEST, table, f"manifest for {folder}", DEFECT)
        manifest.to_csv(part / "manifest.csv", index=False, lineterminator="\n")
        for name, content in extra().items():
            write_json(part / name, content)


def write_image_set(folder: Path | str, images: Iterable[Image], manifest: pd.DataFrame) -> None:
    """Write an image set whose manifest is known beforehand, whole or not at all.

    Args:
        folder: where; replaced when it is there.
        images: grey pictures (side, side) uint8, one for each row of the manifest, in its order. Taken one by one.
        manifest: rows as in `echosynth.imagesets.schema.MANIFEST`; `pixels` may be missing.
    """
    # Checked before the first picture is asked for: sampling may take hours.
    manifest = check(MANIFEST, manifest.assign(pixels="0" * 16), f"manifest for {folder}", DEFECT)
    rows = manifest.to_dict("records")
    write_image_stream(folder, zip(({str(k): v for k, v in row.items()} for row in rows), images, strict=True))


def read_images(folder: Path | str, ids: Sequence[str]) -> Images:
    """Read pictures of an image set by id.

    Returns:
        (len(ids), side, side) uint8, in the order of `ids`.

    Raises:
        EchosynthError: the set is missing or damaged (see `echosynth.imagesets.cache.packed`), or holds no such
            picture.
    """
    manifest = read_manifest(folder)
    check_ids(ids, manifest["id"].tolist(), "the wanted images", f"{folder}/manifest.csv")
    return packed(folder, manifest)[pd.Index(manifest["id"]).get_indexer(pd.Index(ids))]


def read_image_set(folder: Path | str, ids: Sequence[str] | None = None) -> ImageSet:
    """Read a whole image set, or those of `ids` that it holds, in the order of its manifest.

    A whole set is read-only and mapped from the disk; see `echosynth.imagesets.cache.packed`.
    """
    manifest = read_manifest(folder)
    images = packed(folder, manifest)
    if ids is not None:
        chosen = manifest["id"].isin(set(ids)).to_numpy()
        images, manifest = images[chosen], manifest[chosen].reset_index(drop=True)
    return ImageSet(images, manifest)
