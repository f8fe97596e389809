"""Unity: sparse stills of many cines, `<class>-<64 hex digits of the cine>-<frame>.png`, with the views in a table of
its own.
"""

import json
import re
from pathlib import Path

from echosynth.errors import EchosynthError
from echosynth.sources.base import Listing, OfficialSplit, Record, Source
from echosynth.sources.tables import (
    NO_VIEW,
    ROW_TWICE,
    ROW_WITHOUT_FILE,
    base_name,
    finished,
    index_files,
    official_split,
    read_table,
    require_folder,
)

NAME = "unity"
TITLE = "Unity"
FILE_NAME = re.compile(r"^(\d{2}-[0-9a-f]{64})-\d{4}\.png$", re.IGNORECASE)
VIEW_OF = {"a2c": "A2C", "a4c": "A4C", "plax": "PLAX"}


def _released_names(path: Path) -> list[str]:
    """The file names of labels-*.txt (one a line) or labels-*.json (keys)."""
    try:
        text = path.read_text("utf-8-sig")
        names = list(json.loads(text)) if path.suffix == ".json" else text.split()
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EchosynthError(f"{path} cannot be read ({error}); copy it from the release again") from None
    return [base_name(name, ".png") for name in names]


def _official_splits(folder: Path) -> dict[str, OfficialSplit | None]:
    """Cine -> split; a cine is in the split of its first listed image. The lists are the leakage guard of the
    release.
    """
    splits: dict[str, OfficialSplit | None] = {}
    for word in ("train", "tune", "ival"):
        lists = [folder / "labels" / f"labels-{word}{suffix}" for suffix in (".txt", ".json")]
        present = [path for path in lists if path.is_file()]
        for name in _released_names(present[0]) if present else ():
            match = FILE_NAME.match(name)
            if match:
                splits.setdefault(match[1], official_split(word))
    return splits


def list_records(folder: Path) -> Listing:
    """List the stills of png-cache/ whose view stands in view_index.csv.

    Raises:
        EchosynthError: the folder or the table is missing, or nothing usable is found.
    """
    table = read_table(require_folder(folder, TITLE) / "view_index.csv", ("file", "view"))
    splits = _official_splits(folder)
    listing = Listing()
    files = index_files([folder / "png-cache"], ".png", listing)
    seen: set[str] = set()
    for cell, word in zip(table["file"], table["view"], strict=True):
        name = base_name(cell, ".png")
        match = FILE_NAME.match(name)
        view = VIEW_OF.get(word.lower())
        if name in seen:
            listing.omit(ROW_TWICE, name)
        elif name not in files:
            listing.omit(ROW_WITHOUT_FILE, name or "(no name)")
        elif view is None:
            listing.omit(f"view {word.lower()}" if word else NO_VIEW, name)
        elif match is None:
            listing.omit("file name without a cine", name)
        else:
            cine = match[1]
            listing.records.append(Record(NAME, files[name], view, cine, "cine", official_split=splits.get(cine)))
        seen.add(name)
    for name in sorted(files.keys() - seen):
        listing.omit(NO_VIEW, name)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A2C", "A4C", "PLAX"),
    is_video=False,
    licence="see the terms that come with the release",
    citation="Howard et al., Automated left ventricular dimension assessment using artificial intelligence, "
    "Circulation: Cardiovascular Imaging 14, 2021",
    list_records=list_records,
)
