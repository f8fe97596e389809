"""EchoNet-Pediatric: apical four-chamber and parasternal short-axis cines of children.

Read in public loaders: the folders, FileList.csv, tracings of one point a row, and names of the form
CR32a7555-CR32a7582-000039.avi. Inferred: that the first part of a name stands for the child or the study (one first
part goes with several second parts) and that the tracings count frames from 0. So the first part is the group, of the
kind "study", in both views alike; the notes say how many groups come out, and how many of them fall into two splits.

The release has ten folds and no split. The loader of EchoNet-Synthetic (Reynaud et al., 2024) takes 0 to 7 for
training, 8 for validation and 9 for testing, and so does this one. Sex, age, weight and height are never read.
"""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from echosynth.sources.base import Listing, OfficialSplit, Source
from echosynth.sources.folders import find_root, index_files, name_key, require_folder
from echosynth.sources.releases.echonet_dynamic import FRAME, TRACINGS, note_unmarked, read_marks
from echosynth.sources.tables import base_name, finished, match_rows, official_split, read_table

NAME = "echonet-pediatric"
TITLE = "EchoNet-Pediatric"
VIEW_FOLDERS = ("A4C", "PSAX")
FILE_NAME = re.compile(r"^(CR[0-9a-f]+)-CR[0-9a-f]+-\d+$", re.IGNORECASE)
FOLDS: dict[str, OfficialSplit] = {
    **{str(fold): "train" for fold in range(8)},
    "8": "validation",
    "9": "test",
}


def polygon_areas(rows: pd.DataFrame) -> "pd.Series[float]":
    """Area of each traced ventricle by the shoelace formula.

    Args:
        rows: columns of `FRAME`, X and Y; the rows of a frame go round the ventricle.

    Returns:
        Square pixels by video and frame.
    """
    frames = rows.groupby(FRAME)[["X", "Y"]]
    following = frames.shift(-1).fillna(frames.transform("first"))
    cross = rows["X"] * following["Y"] - following["X"] * rows["Y"]
    return cross.groupby([rows[key] for key in FRAME]).sum().abs() / 2


def fold_split(word: str) -> OfficialSplit | None:
    """The split of a fold, or of a word where somebody has replaced the folds by words."""
    return FOLDS.get(word.strip().removesuffix(".0")) or official_split(word)


def _group(name: str) -> dict[str, Any]:
    """Group and its kind, from the file name alone: the key must be the same in both views."""
    stem = Path(name).stem
    match = FILE_NAME.match(stem)
    if match is None:
        return {"group": name_key(stem), "group_kind": "file"}
    return {"group": name_key(match[1]), "group_kind": "study"}


def _list_view(root: Path, view: str, folder: Path, listing: Listing) -> None:
    """Add the cines of one view."""
    place = require_folder(root / view, f"the cines of {view} of {TITLE}")
    table = read_table(place / "FileList.csv", ("FileName", "Split"))
    files = index_files([require_folder(place / "Videos", f"the videos of {TITLE}")], folder, ".avi", listing)
    marks = read_marks(place / TRACINGS, ("X", "Y"), polygon_areas)

    def describe(name: str, fold: str) -> dict[str, Any]:
        return {
            "view": view,
            **_group(name),
            "official_split": fold_split(fold),
            "marked": marks.get(name_key(name), ()),
        }

    before = len(listing.records)
    names = (base_name(cell, ".avi") for cell in table["FileName"])
    match_rows(listing, files, zip(names, table["Split"], strict=True), describe)
    note_unmarked(listing, listing.records[before:], place / TRACINGS, f"{view}/{TRACINGS}")
    if unknown := sum(fold_split(fold) is None for fold in table["Split"]):
        listing.notes.append(f"{view}/FileList.csv: {unknown} rows name no fold 0 to 9; they have no official split")


def list_records(folder: Path) -> Listing:
    """List the cines of A4C/ and PSAX/, which may lie in a folder such as pediatric_echo_avi/.

    Raises:
        EchosynthError: a folder or table is missing, a table cannot be read, or nothing usable is found.
    """
    root = find_root(require_folder(folder, TITLE), VIEW_FOLDERS)
    listing = Listing()
    for view in VIEW_FOLDERS:
        _list_view(root, view, folder, listing)
    groups = {record.group for record in listing.records if record.group_kind == "study"}
    alone = sum(record.group_kind == "file" for record in listing.records)
    listing.notes.append(f"{len(listing.records) - alone} cines fall into {len(groups)} groups by their file names")
    if alone:
        listing.notes.append(f"{alone} file names have another form; each of these files is a group of its own")
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=VIEW_FOLDERS,
    unit="cine",
    group_kind="study",
    layout=(
        "A4C/FileList.csv, PSAX/FileList.csv (folds 0-7 train, 8 validation, 9 test)",
        "A4C/VolumeTracings.csv, PSAX/VolumeTracings.csv (optional: ED and ES)",
        "A4C/Videos/*.avi, PSAX/Videos/*.avi",
    ),
    licence="non-commercial research use only, no redistribution",
    citation="Reddy et al., Video-based deep learning for automated assessment of left ventricular ejection fraction "
    "in pediatric patients, Journal of the American Society of Echocardiography 36, 2023",
    list_records=list_records,
)
