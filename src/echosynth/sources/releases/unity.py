"""Unity: sparse stills of many cines, `<class>-<64 hex digits of the cine>-<frame>.png`, with the views in a table of
its own.
"""

import json
import re
from pathlib import Path
from typing import Any

from echosynth.errors import EchosynthError
from echosynth.sources.base import Listing, OfficialSplit, Source
from echosynth.sources.tables import (
    NO_VIEW,
    base_name,
    finished,
    index_files,
    match_rows,
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
    files = index_files([folder / "png-cache"], folder, ".png", listing)

    def describe(name: str, word: str) -> dict[str, Any] | str:
        match = FILE_NAME.match(name)
        view = VIEW_OF.get(word.lower())
        if view is None:
            return f"view {word.lower()}" if word else NO_VIEW
        if match is None:
            return "file name without a cine"
        return {"view": view, "group": match[1], "group_kind": "cine", "official_split": splits.get(match[1])}

    names = (base_name(cell, ".png") for cell in table["file"])
    match_rows(listing, files, zip(names, table["view"], strict=True), describe, unlisted=NO_VIEW)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A2C", "A4C", "PLAX"),
    unit="still",
    group_kind="cine",
    layout=("view_index.csv", "png-cache/**/*.png", "labels/labels-{train,tune,ival}.txt or .json (optional: official split)"),
    licence="see the terms that come with the release",
    citation="Howard et al., Automated left ventricular dimension assessment using artificial intelligence, "
    "Circulation: Cardiovascular Imaging 14, 2021",
    list_records=list_records,
)
