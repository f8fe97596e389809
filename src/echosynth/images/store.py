"""Image sets: `images.zip` (stored PNGs with fixed dates) + `manifest.csv`, the same for real and synthetic sets.

One ZIP instead of thousands of files: DVC hashes, copies and checks it five to ten times faster. The same pictures
give the same bytes.
"""

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.errors import EchosynthError
from echosynth.files import atomic_folder, write_json
from echosynth.views import VIEWS

Images = npt.NDArray[np.uint8]
FIXED_DATE = (1980, 1, 1, 0, 0, 0)
COLUMNS = {
    "id": "str",  # unique in all sets: "<source>-<hash>" or "synthetic-<set>-<number>"
    "source": "str",
    "view": "str",
    "group": "str",  # salted hash of the patient (or cine, or file)
    "group_kind": "str",  # patient, study, cine, file; none for synthetic images
    "official_split": "str",  # train, validation, test, or empty
    "frame": "int64",  # number of the frame in its file, from 0
    "frames": "int64",  # frames in the file
    "width": "int64",  # native size in pixels
    "height": "int64",
    "synthetic": "bool",
}
GROUP_KINDS = ("patient", "study", "cine", "file", "none")


@dataclass(frozen=True)
class ImageSet:
    """Pictures and what is known of them.

    Attributes:
        images: (N, side, side) uint8, in the order of the manifest.
        manifest: N rows with the columns of `COLUMNS`.
    """

    images: Images
    manifest: pd.DataFrame


def check_manifest(manifest: pd.DataFrame, where: str) -> pd.DataFrame:
    """Check columns, types and allowed values of a manifest and return it with its types set.

    Raises:
        EchosynthError: naming `where`, the column and the first offending value.
    """
    missing = [column for column in COLUMNS if column not in manifest]
    extra = [column for column in manifest if column not in COLUMNS]
    if missing or extra:
        raise EchosynthError(
            f"{where}: wrong columns (missing: {missing}, unknown: {extra}); run `dvc repro` to make it anew"
        )
    try:
        manifest = manifest[list(COLUMNS)].fillna({"official_split": ""}).astype(COLUMNS)
    except (ValueError, TypeError) as error:
        raise EchosynthError(f"{where}: a column has a wrong type ({error}); run `dvc repro` to make it anew") from None
    allowed = {"view": VIEWS, "group_kind": GROUP_KINDS, "official_split": ("", "train", "validation", "test")}
    for column, values in allowed.items():
        wrong = manifest.loc[~manifest[column].isin(values), column]
        if len(wrong):
            raise EchosynthError(f"{where}: {column} holds {wrong.iloc[0]!r}; allowed: {', '.join(values)}")
    twice = manifest.loc[manifest["id"].duplicated(), "id"]
    if len(twice):
        raise EchosynthError(f"{where}: id {twice.iloc[0]!r} stands twice")
    return manifest


def read_manifest(folder: Path | str) -> pd.DataFrame:
    """Read and check the manifest of an image set; no picture is touched.

    Raises:
        EchosynthError: the file is missing or does not fit `COLUMNS`.
    """
    path = Path(folder) / "manifest.csv"
    if not path.is_file():
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it")
    return check_manifest(pd.read_csv(path, dtype={"official_split": "str", "group": "str"}), str(path))


def write_image_stream(
    folder: Path | str,
    rows: Iterable[tuple[dict[str, Any], Images]],
    extra: Callable[[], Mapping[str, object]] = dict,
) -> None:
    """Write an image set whole or not at all, picture by picture, so that memory does not grow with the set.

    Args:
        folder: where; replaced when it is there.
        rows: a row of the manifest (see `COLUMNS`) and its grey picture (side, side) uint8.
        extra: asked after the last picture: name of a JSON file to lie beside the manifest -> its content.

    Raises:
        EchosynthError: a row does not fit `COLUMNS`, or a picture cannot be encoded.
    """
    written: list[dict[str, Any]] = []
    with atomic_folder(folder) as part:
        with zipfile.ZipFile(part / "images.zip", "w", zipfile.ZIP_STORED) as archive:
            for row, image in rows:
                done, encoded = cv2.imencode(".png", image)
                if not done:
                    raise EchosynthError(f"cannot encode picture {row['id']} of {folder} as PNG")
                archive.writestr(zipfile.ZipInfo(f"{row['id']}.png", FIXED_DATE), encoded.tobytes())
                written.append(row)
        manifest = check_manifest(pd.DataFrame(written, columns=list(COLUMNS)), f"manifest for {folder}")
        manifest.to_csv(part / "manifest.csv", index=False, lineterminator="\n")
        for name, content in extra().items():
            write_json(part / name, content)


def write_image_set(folder: Path | str, images: Iterable[Images], manifest: pd.DataFrame) -> None:
    """Write an image set whose manifest is known beforehand, whole or not at all.

    Args:
        folder: where; replaced when it is there.
        images: grey pictures (side, side) uint8, one for each row of the manifest, in its order. Taken one by one.
        manifest: see `COLUMNS`.
    """
    rows = check_manifest(manifest, f"manifest for {folder}").to_dict("records")
    write_image_stream(folder, zip(({str(k): v for k, v in row.items()} for row in rows), images, strict=True))


def read_images(folder: Path | str, ids: Sequence[str]) -> Images:
    """Read pictures of an image set by id.

    Returns:
        (len(ids), side, side) uint8, in the order of `ids`.

    Raises:
        EchosynthError: the ZIP is missing or torn, or holds no such picture.
    """
    path = Path(folder) / "images.zip"
    pictures = []
    try:
        with zipfile.ZipFile(path) as archive:
            for name in ids:
                data = np.frombuffer(archive.read(f"{name}.png"), np.uint8)
                picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
                if picture is None:
                    raise EchosynthError(f"{path}: {name}.png is no picture; run `dvc repro` to make the set anew")
                pictures.append(picture)
    except FileNotFoundError:
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it") from None
    except (zipfile.BadZipFile, KeyError) as error:
        raise EchosynthError(f"{path} is damaged ({error}); delete it and run `dvc repro`") from None
    return np.stack(pictures) if pictures else np.zeros((0, 0, 0), np.uint8)


def read_image_set(folder: Path | str, ids: Sequence[str] | None = None) -> ImageSet:
    """Read a whole image set, or those of `ids` that it holds, in the order of its manifest."""
    manifest = read_manifest(folder)
    if ids is not None:
        manifest = manifest[manifest["id"].isin(set(ids))].reset_index(drop=True)
    return ImageSet(read_images(folder, list(manifest["id"])), manifest)
