"""EchoNet-Dynamic: apical four-chamber cines. Each is of another person, as its publishers say, so the file stands for
the patient.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from echosynth.sources.base import Listing, Moment, Record, Source
from echosynth.sources.folders import find_root, index_files, name_key, require_folder
from echosynth.sources.tables import base_name, finished, match_rows, note_unknown_splits, official_split, read_table

NAME = "echonet-dynamic"
TITLE = "EchoNet-Dynamic"
TRACINGS = "VolumeTracings.csv"
CHORDS = ("X1", "Y1", "X2", "Y2")
FRAME = ["video", "Frame"]  # what tells one tracing from another

Marks = tuple[tuple[Moment, int], ...]


def chord_areas(rows: pd.DataFrame) -> "pd.Series[float]":
    """Area of each traced ventricle: length of its long axis times the mean length of the chords across it, which is
    what the method of disks adds up, in two dimensions.

    Args:
        rows: columns of `FRAME` and `CHORDS`, a row a line; the first line of a frame is the long axis.

    Returns:
        Square pixels by video and frame; not a number for a frame without chords.
    """
    lengths = rows[FRAME].assign(length=np.hypot(rows["X2"] - rows["X1"], rows["Y2"] - rows["Y1"]))
    across = lengths.duplicated(FRAME)
    axes = lengths[~across].set_index(FRAME)["length"]
    return axes * lengths[across].groupby(FRAME)["length"].mean()


def marks_by_area(rows: pd.DataFrame, areas: Callable[[pd.DataFrame], "pd.Series[float]"]) -> dict[str, Marks]:
    """Which frame of a cine is end diastole and which end systole: of the two traced frames the one with the larger
    ventricle is end diastole.

    Args:
        rows: FileName, Frame and coordinates as text.
        areas: gets the rows as numbers, with `FRAME` in place of the name, and returns areas by `FRAME`.

    Returns:
        `name_key` of the file -> its marks. A cine with a number that cannot be read, with other than two traced
        frames or with two equal areas is left out.
    """
    keys = {cell: name_key(base_name(cell, ".avi")) for cell in rows["FileName"].unique()}
    numbers = rows.drop(columns="FileName").apply(pd.to_numeric, errors="coerce")
    readable = np.isfinite(numbers).all(axis=1) & (numbers["Frame"] >= 0) & (numbers["Frame"] % 1 == 0)
    numbers["video"] = rows["FileName"].map(keys)
    numbers = numbers[~numbers["video"].isin(numbers.loc[~readable, "video"].unique())]
    traced = areas(numbers).rename("area").reset_index().sort_values(["video", "area"])
    pairs = traced[traced.groupby("video")["area"].transform("size") == 2]
    small, large = pairs.iloc[0::2], pairs.iloc[1::2]
    different = small["area"].to_numpy() < large["area"].to_numpy()  # false where an area is not a number
    small, large = small[different], large[different]
    return {
        video: (("ED", int(diastole)), ("ES", int(systole)))
        for video, diastole, systole in zip(small["video"], large["Frame"], small["Frame"], strict=True)
    }


def read_marks(
    path: Path, coordinates: Sequence[str], areas: Callable[[pd.DataFrame], "pd.Series[float]"]
) -> dict[str, Marks]:
    """`marks_by_area` of a table of tracings; empty when there is none.

    Raises:
        EchosynthError: the table is there but cannot be read.
    """
    if not path.exists():
        return {}
    return marks_by_area(read_table(path, ("FileName", *coordinates, "Frame")), areas)


def note_unmarked(listing: Listing, records: Sequence[Record], path: Path, name: str) -> None:
    """Note that the table of tracings `path`, called `name`, is missing, or how many of `records` it does not mark."""
    unmarked = sum(not record.marked for record in records)
    if not path.exists():
        listing.notes.append(f"{name} is missing, so end diastole and end systole are not marked")
    elif unmarked:
        listing.notes.append(
            f"{name} does not mark end diastole and end systole of {unmarked} of {len(records)} cines: "
            "it must trace two frames of different area"
        )


def list_records(folder: Path) -> Listing:
    """List the cines that stand in FileList.csv and lie in Videos/, with the frames that VolumeTracings.csv traces.

    Raises:
        EchosynthError: a folder or the table is missing, a table cannot be read, or nothing usable is found.
    """
    root = find_root(require_folder(folder, TITLE), ("FileList.csv", "Videos"))
    table = read_table(root / "FileList.csv", ("FileName", "Split"))
    listing = Listing()
    files = index_files([require_folder(root / "Videos", f"the videos of {TITLE}")], folder, ".avi", listing)
    marks = read_marks(root / TRACINGS, CHORDS, chord_areas)

    def describe(name: str, split: str) -> dict[str, Any]:
        return {
            "view": "A4C",
            "group": Path(name).stem.upper(),
            "group_kind": "patient",
            "official_split": official_split(split),
            "marked": marks.get(name_key(name), ()),
        }

    names = (base_name(cell, ".avi") for cell in table["FileName"])
    match_rows(listing, files, zip(names, table["Split"], strict=True), describe)
    note_unknown_splits(listing, table["Split"])
    note_unmarked(listing, listing.records, root / TRACINGS, TRACINGS)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A4C",),
    unit="cine",
    group_kind="patient",
    layout=("FileList.csv", "VolumeTracings.csv (optional: ED and ES)", "Videos/*.avi"),
    licence="research use only, no redistribution, no derived works",
    citation="Ouyang et al., Video-based AI for beat-to-beat assessment of cardiac function, Nature 580, 2020",
    list_records=list_records,
)
