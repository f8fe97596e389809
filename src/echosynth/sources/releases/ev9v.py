"""EV9V (Echocardiographic Videos of Nine Views): MP4 cines with nine view codes.

Read in the data set's own pages and in loaders: lists `train_labeled.txt`, `validation_labeled.txt` and
`test_labeled.txt` with a name and a view code a line; `Videos/<name>.mp4`; names such as
2022-04-28_08-03-07_003_320x240_8; and, in the code of its authors, `labels.csv` (names, labels) with `train.txt`,
`validation.txt` and `test.txt` in place of these lists.

The codes are explained in two ways that differ in the level of the short axis and in PMPALA (pulmonary artery, or an
apical long axis). They agree that four codes are parasternal short axes and one the parasternal long axis; PMPALA, A5C
and SC4C are left out and counted.

There are 703 patients, but no list of whose cine is whose. Names begin with the time of the recording from which clips
were cut, and no such time falls into two of the official splits: it is the group, of the kind "cine". That clips of
different times are of different patients is not known.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Listing, OfficialSplit, Source
from echosynth.sources.folders import find_root, index_files, name_key, require_folder
from echosynth.sources.tables import NO_VIEW, base_name, finished, match_rows, official_split, read_table, read_text

NAME = "ev9v"
TITLE = "EV9V"
VIEW_OF = {
    "PLHLA": "PLAX",
    "PASA": "PSAX",
    "PMASA": "PSAX",
    "PMVLSA": "PSAX",
    "PPMLSA": "PSAX",
    "A4C": "A4C",
}
OTHER_CODES = ("A5C", "PMPALA", "SC4C")
SPLITS = ("train", "validation", "test")
TABLE = "labels.csv"
RECORDING = re.compile(r"^\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}(?!\d)")

Row = tuple[str, tuple[str, OfficialSplit | None]]


def _list_names(path: Path) -> Iterator[list[str]]:
    """The words of every line that is not blank."""
    return (line.split() for line in read_text(path).splitlines() if line.strip())


def _labelled_lists(root: Path, listing: Listing) -> Iterator[Row]:
    """Name, code and split of every line of the lists with labels; the code is "" when a line is not name and code."""
    for split in SPLITS:
        path = root / f"{split}_labeled.txt"
        if not path.exists():
            listing.notes.append(f"{path.name} is missing; its cines are left out")
            continue
        for words in _list_names(path):
            yield base_name(words[0], ".mp4"), (words[1] if len(words) == 2 else "", official_split(split))


def _label_table(root: Path, listing: Listing) -> Iterator[Row]:
    """Name, code and split of every row of labels.csv."""
    table = read_table(root / TABLE, (("names", "name"), ("labels", "label")))
    splits: dict[str, set[OfficialSplit | None]] = {}
    for split in SPLITS:
        path = root / f"{split}.txt"
        if not path.exists():
            listing.notes.append(f"{path.name} is missing; its cines have no official split")
            continue
        for words in _list_names(path):
            splits.setdefault(name_key(base_name(words[0], ".mp4")), set()).add(official_split(split))
    if torn := sum(len(found) > 1 for found in splits.values()):
        listing.notes.append(f"{torn} names stand in two lists of splits; these cines have no official split")
    for cell, code in zip(table["names"], table["labels"], strict=True):
        name = base_name(cell, ".mp4")
        found = splits.get(name_key(name), set())
        yield name, (code, next(iter(found)) if len(found) == 1 else None)


def _describe(name: str, facts: tuple[str, OfficialSplit | None]) -> dict[str, Any] | str:
    code, split = facts[0].upper(), facts[1]
    if code not in VIEW_OF:
        return f"view {code}" if code in OTHER_CODES else "view code that is not known" if code else NO_VIEW
    match = RECORDING.match(name)
    return {
        "view": VIEW_OF[code],
        "group": match[0] if match else name_key(Path(name).stem),
        "group_kind": "cine" if match else "file",
        "official_split": split,
    }


def list_records(folder: Path) -> Listing:
    """List the cines of Videos/ whose view code stands for one of the project's views.

    Raises:
        EchosynthError: the folder, Videos/ or every list of labels is missing, or nothing usable is found.
    """
    lists = tuple(f"{split}_labeled.txt" for split in SPLITS)
    root = find_root(require_folder(folder, TITLE), (*lists, TABLE, "Videos"))
    listing = Listing()
    if any((root / name).exists() for name in lists):
        rows = list(_labelled_lists(root, listing))
    elif (root / TABLE).exists():
        rows = list(_label_table(root, listing))
    else:
        raise EchosynthError(f"{root} has neither {lists[0]} nor {TABLE}; put the lists of {TITLE} there")
    videos = require_folder(root / "Videos", f"the videos of {TITLE} (Videos.tar, unpacked)")
    match_rows(listing, index_files([videos], folder, ".mp4", listing), rows, _describe)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A4C", "PLAX", "PSAX"),
    unit="cine",
    group_kind="cine",
    layout=(
        "train_labeled.txt, validation_labeled.txt, test_labeled.txt, or",
        "labels.csv with train.txt, validation.txt, test.txt (optional: official split)",
        "Videos/*.mp4",
    ),
    licence="CC BY 4.0",
    citation="Gou et al., Spatio-temporal fusion model for standard view classification of echocardiographic videos, "
    "arXiv:2606.17437, 2026",
    list_records=list_records,
)
