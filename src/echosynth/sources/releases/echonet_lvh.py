"""EchoNet-LVH: parasternal long-axis cines in four batches.

The release has no patient or study number: cines of one patient may fall into two splits and nobody can tell.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Listing, Moment, OfficialSplit, Source
from echosynth.sources.folders import find_root, index_files, name_key, require_folder
from echosynth.sources.tables import base_name, finished, match_rows, note_unknown_splits, official_split, read_table

NAME = "echonet-lvh"
TITLE = "EchoNet-LVH"
TABLE = "MeasurementsList.csv"
BATCHES = ("Batch1", "Batch2", "Batch3", "Batch4")
# The cavity tells the moment best: where septum or wall were measured on another frame, the frame of LVID counts.
CALCS = {"LVID": 0, "IVS": 1, "LVPW": 2}
MOMENT_OF: dict[str, Moment] = {"d": "ED", "s": "ES"}

Marks = tuple[tuple[Moment, int], ...]


def _marks(table: pd.DataFrame, listing: Listing) -> dict[str, Marks]:
    """Video -> the frames of end diastole and end systole, from the frames on which the walls were measured."""
    calc = table["Calc"].str.extract(r"(?i)^(LVID|IVS|LVPW)([ds])$")
    frame = pd.to_numeric(table["Frame"], errors="coerce")
    frame = frame.where((frame >= 0) & (frame % 1 == 0))
    rows = pd.DataFrame(
        {
            "video": table["video"],
            "moment": calc[1].str.lower().map(MOMENT_OF),
            "rank": calc[0].str.upper().map(CALCS),
            "frame": frame,
        }
    )
    rows = rows[rows["moment"].notna()]
    if unreadable := int(rows["frame"].isna().sum()):
        listing.notes.append(f"{unreadable} measurements name no frame that can be read; they mark nothing")
    rows = rows.dropna().sort_values(["video", "moment", "rank", "frame"]).drop_duplicates(["video", "moment"])
    marks: dict[str, Marks] = defaultdict(tuple)
    for video, moment, number in zip(rows["video"], rows["moment"], rows["frame"], strict=True):
        marks[video] += ((moment, int(number)),)
    torn = [video for video, found in marks.items() if len({number for _, number in found}) < len(found)]
    if torn:
        listing.notes.append(f"{len(torn)} cines have end diastole and end systole on one frame; neither is marked")
    return {video: () if video in set(torn) else found for video, found in marks.items()}


def _splits(table: pd.DataFrame, listing: Listing) -> dict[str, OfficialSplit | None]:
    """Video -> its split; None when its rows disagree."""
    found: dict[str, set[OfficialSplit | None]] = defaultdict(set)
    words = {word: official_split(word) for word in table["split"].unique()}
    for video, word in zip(table["video"], table["split"], strict=True):
        found[video].add(words[word])
    if torn := sum(len(splits) > 1 for splits in found.values()):
        listing.notes.append(f"the rows of {torn} cines name two official splits; these cines have none")
    return {video: next(iter(splits)) if len(splits) == 1 else None for video, splits in found.items()}


def list_records(folder: Path) -> Listing:
    """List the cines that stand in MeasurementsList.csv (one row a measurement, several a cine) and lie in Batch1/ to
    Batch4/, with the frames on which the walls were measured.

    The table does not say in which batch a cine lies, and its frame rates differ from those of the files: they are
    not read.

    Raises:
        EchosynthError: the folder, the table or every batch is missing, or nothing usable is found.
    """
    root = find_root(require_folder(folder, TITLE), (TABLE, *BATCHES))
    table = read_table(root / TABLE, ("HashedFileName", "Calc", "Frame", "split"))
    missing = [batch for batch in BATCHES if not (root / batch).is_dir()]
    if len(missing) == len(BATCHES):
        raise EchosynthError(f"{root} has no folder Batch1 to Batch4; unpack the release's videos there")
    listing = Listing()
    if missing:
        listing.notes.append(f"{', '.join(missing)} missing")
    files = index_files([root / batch for batch in BATCHES], folder, ".avi", listing)
    names = {cell: base_name(cell, ".avi") for cell in table["HashedFileName"].unique()}
    table["video"] = table["HashedFileName"].map({cell: name_key(name) for cell, name in names.items()})
    note_unknown_splits(listing, table["split"])
    marks, splits = _marks(table, listing), _splits(table, listing)

    def describe(name: str, video: str) -> dict[str, Any]:
        return {
            "view": "PLAX",
            "group": Path(name).stem.upper(),
            "group_kind": "file",
            "official_split": splits[video],
            "marked": marks.get(video, ()),
        }

    first = table.drop_duplicates("video")
    rows = zip(first["HashedFileName"].map(names), first["video"], strict=True)
    match_rows(listing, files, rows, describe)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("PLAX",),
    unit="cine",
    group_kind="file",
    layout=("MeasurementsList.csv (also: ED and ES)", "Batch1/*.avi to Batch4/*.avi"),
    licence="non-commercial research use only, no redistribution",
    citation="Duffy et al., High-throughput precision phenotyping of left ventricular hypertrophy with cardiovascular "
    "deep learning, JAMA Cardiology 7, 2022",
    list_records=list_records,
)
