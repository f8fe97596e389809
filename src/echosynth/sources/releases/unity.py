"""Unity: sparse stills of many cines, `<class>-<64 hex digits of the cine>-<frame>.png`, with the views in a table of
its own.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Listing, OfficialSplit, Source
from echosynth.sources.folders import find_root, index_files, name_key, require_folder
from echosynth.sources.tables import (
    NO_VIEW,
    base_name,
    finished,
    left_out_view,
    match_rows,
    official_split,
    read_table,
    read_text,
)

NAME = "unity"
TITLE = "Unity"
FILE_NAME = re.compile(r"^([0-9]{2}-[0-9a-f]{64})-[0-9]{4}\.png$", re.IGNORECASE)
VIEW_OF = {"a2c": "A2C", "a4c": "A4C", "plax": "PLAX"}
# The publisher's site has offered the table under two names; both have the columns file and view.
VIEW_TABLES = ("view_index.csv", "view_index_20220705.csv")
LISTS = ("train", "tune", "ival")


def _cine(name: str) -> str | None:
    """The cine that the image `name` was taken from; None when the name is not of the release's form."""
    match = FILE_NAME.match(name)
    return match[1].lower() if match else None


def _read_views(folder: Path, listing: Listing) -> Iterator[tuple[str, str]]:
    """(file name, view) from all tables of views; what a second table repeats is passed over."""
    place = find_root(folder, VIEW_TABLES, depth=1)
    present = [place / name for name in VIEW_TABLES if (place / name).is_file()]
    if len(present) > 1:
        names = " and ".join(path.name for path in present)
        listing.notes.append(f"views come from {names}; images on which they disagree are left out")
    known: set[tuple[str, str]] = set()
    for path in present or [place / VIEW_TABLES[0]]:
        table = read_table(path, ("file", "view"))
        pairs = [
            (base_name(cell, ".png"), word.lower()) for cell, word in zip(table["file"], table["view"], strict=True)
        ]
        yield from ((name, word) for name, word in pairs if (name_key(name), word) not in known)
        known.update((name_key(name), word) for name, word in pairs)


def _listed_names(path: Path) -> list[str]:
    """The file names of labels-*.txt (one a line) or labels-*.json (its keys)."""
    text = read_text(path)
    if path.suffix == ".txt":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:100]
        raise EchosynthError(f"{path} is no valid JSON ({reason}); copy it from the release again") from None
    if not isinstance(content, dict):
        raise EchosynthError(f"{path} must map file names to labels; copy it from the release again")
    return list(content)


def _official_splits(folder: Path, listing: Listing) -> dict[str, OfficialSplit | None]:
    """Cine -> split by the released lists, which are the release's guard against leakage; None for a cine in two."""
    splits: dict[str, set[OfficialSplit | None]] = defaultdict(set)
    odd = 0
    place = find_root(folder, ("labels",), depth=1) / "labels"
    for word in LISTS:
        present = [path for path in (place / f"labels-{word}{end}" for end in (".txt", ".json")) if path.is_file()]
        if not present:
            listing.notes.append(f"there is no labels/labels-{word}.txt or .json: its cines have no official split")
        for name in (name for path in present for name in _listed_names(path)):
            # Published paths are inconsistent: only the base name counts.
            cine = _cine(base_name(name, ".png"))
            if cine is None:
                odd += 1
            else:
                splits[cine].add(official_split(word))
    torn = sum(len(found) > 1 for found in splits.values())
    if torn:
        listing.notes.append(f"{torn} of {len(splits)} cines stand in two lists of labels/; these are split anew")
    if odd:
        listing.notes.append(f"{odd} entries of the lists in labels/ are no file names of the release")
    return {cine: found.copy().pop() if len(found) == 1 else None for cine, found in splits.items()}


def list_records(folder: Path) -> Listing:
    """List the stills of png-cache/ whose view stands in a table of views.

    Raises:
        EchosynthError: the folder, png-cache/ or the table is missing, a list is broken, or nothing usable is found.
    """
    listing = Listing()
    rows = list(_read_views(require_folder(folder, TITLE), listing))
    splits = _official_splits(folder, listing)
    place = find_root(folder, ("png-cache",), depth=1) / "png-cache"
    if not place.is_dir():
        raise EchosynthError(f"{folder} has no folder png-cache; unpack the release's png-cache.zip there")
    files = index_files([place], folder, ".png", listing)

    def describe(name: str, word: str) -> dict[str, Any] | str:
        cine, view = _cine(name), VIEW_OF.get(word)
        if view is None:
            return left_out_view(word)
        if cine is None:
            return "file name without a cine"
        return {"view": view, "group": cine, "group_kind": "cine", "official_split": splits.get(cine)}

    match_rows(listing, files, rows, describe, unlisted=NO_VIEW)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=("A2C", "A4C", "PLAX"),
    unit="still",
    group_kind="cine",
    layout=(
        "view_index.csv or view_index_20220705.csv (a download of its own)",
        "png-cache/**/*.png",
        "labels/labels-{train,tune,ival}.txt or .json (optional: official split)",
    ),
    licence="Creative Commons, non-commercial (NoDerivatives or ShareAlike): see LICENSE.txt in the release's labels/",
    citation="Howard et al., Automated left ventricular dimension assessment using artificial intelligence developed "
    "and validated by a UK-wide collaborative, Circulation: Cardiovascular Imaging 14(5), 2021",
    list_records=list_records,
)
