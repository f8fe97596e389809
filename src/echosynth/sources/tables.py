"""One way to look at a release folder: its tables, its files by name, and the words that releases use for splits."""

import csv
import io
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from echosynth.errors import EchosynthError
from echosynth.sources.base import Listing, OfficialSplit, Record

OFFICIAL_SPLITS: Mapping[str, OfficialSplit] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "tune": "validation",
    "validation": "validation",
    "test": "test",
    "ival": "test",
    "testing": "test",
}
ROW_WITHOUT_FILE = "row without a file"
FILE_WITHOUT_ROW = "file without a row"
ROW_TWICE = "row that stands twice"
ROWS_DISAGREE = "rows of one file that disagree"
NAME_TWICE = "file name that stands twice"
LEAVING_LINK = "link that leaves the folder"
BROKEN_LINK = "broken link"
NO_VIEW = "no view"
SEPARATORS = ",;\t|"
# DVC may link tracked files to its cache, where a file's path is its MD5.
DVC_CACHE = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")


def read_text(path: Path) -> str:
    """The text of a table or list, in UTF-8 or UTF-16 with or without a byte-order mark, else in Windows-1252.

    Raises:
        EchosynthError: the file is missing, unreadable or no text.
    """
    if not path.is_file():
        raise EchosynthError(f"{path} is missing; put the release's own files into {path.parent}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EchosynthError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise EchosynthError(f"{path} is no text; copy it from the release again")


def _header(text: str, path: Path) -> tuple[list[str], str]:
    """Column names and separator: the one of `SEPARATORS` that divides the first line into most cells."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise EchosynthError(f"{path} is empty; copy it from the release again")
    separator = max(SEPARATORS, key=first.count)
    return [cell.strip() for cell in next(csv.reader([first], delimiter=separator))], separator


def read_table(path: Path, columns: Iterable[str | Sequence[str]]) -> pd.DataFrame:
    """Read columns of a CSV as text: no guessing of types, so that a file name such as 0X1E5 stays what it is.

    A byte-order mark, CRLF line ends, the encoding, the separator (comma, semicolon, tab, bar), blanks round a cell
    and the case of the column names do not matter.

    Args:
        path: the table.
        columns: names of the wanted columns; several names for one mean that releases differ.

    Returns:
        The rows with exactly `columns` (the first of several names), all cells str, an empty cell "".

    Raises:
        EchosynthError: the table is missing, is no CSV, lacks a column or has no rows.
    """
    text = read_text(path)
    header, separator = _header(text, path)
    places: dict[str, int] = {}
    lower = [name.lower() for name in header]
    for names in columns:
        choices = [names] if isinstance(names, str) else list(names)
        found = [name for name in choices if name.lower() in lower]
        if not found:
            raise EchosynthError(f"{path} has no column {choices[0]}; its columns are {', '.join(header)}")
        if lower.count(found[0].lower()) > 1:
            raise EchosynthError(f"{path} has the column {found[0]} twice; copy it from the release again")
        places[choices[0]] = lower.index(found[0].lower())
    cells: dict[str, list[str]] = {name: [] for name in places}
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        rows = (row for row in reader if any(cell.strip() for cell in row))
        next(rows)
        for row in rows:
            if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
                raise EchosynthError(
                    f"{path}: line {reader.line_num} has {len(row)} cells, the header {len(header)}; correct that line"
                )
            for name, place in places.items():
                cells[name].append(row[place].strip() if place < len(row) else "")
    except csv.Error as error:
        raise EchosynthError(f"{path} is no valid CSV ({error}); copy it from the release again") from None
    table = pd.DataFrame(cells, dtype=str)
    if table.empty:
        raise EchosynthError(f"{path} has no rows; copy it from the release again")
    return table


def require_folder(folder: Path, title: str) -> Path:
    """Return `folder` when it is there and holds something.

    Raises:
        EchosynthError: it is missing, empty or not readable.
    """
    remedy = f"put {title} there or take it out of the sources under data in params.yaml"
    if not folder.is_dir():
        raise EchosynthError(f"{folder} is missing; {remedy}")
    try:
        empty = next(os.scandir(folder), None) is None
    except OSError as error:
        raise EchosynthError(f"{folder} cannot be read ({error.strerror}); check its permissions") from None
    if empty:
        raise EchosynthError(f"{folder} is empty; {remedy}")
    return folder


def name_key(name: str) -> str:
    """What two spellings of a file name share: releases copied to other systems differ in case and in how accents are
    composed."""
    return unicodedata.normalize("NFC", name).casefold()


def walk_files(folders: Iterable[Path], root: Path, listing: Listing) -> Iterator[Path]:
    """All regular files below `folders` in sorted order; hidden files and folders are passed over.

    A link is followed when its target lies in `root`, the release, or in DVC's cache; others are counted in `listing`.
    """
    inside = root.resolve()
    for folder in folders:
        for parent, names, files in os.walk(folder):
            here = Path(parent)
            linked = [name for name in names if (here / name).is_symlink()]
            for name in linked:
                listing.omit(LEAVING_LINK, (here / name).relative_to(root).as_posix())
            names[:] = sorted(name for name in names if not name.startswith(".") and name not in linked)
            for name in sorted(files):
                path = here / name
                if name.startswith("."):  # such as the ._ files that macOS leaves on foreign disks
                    continue
                if path.is_symlink():
                    target = path.resolve()
                    if not target.exists():
                        listing.omit(BROKEN_LINK, path.relative_to(root).as_posix())
                        continue
                    if not target.is_relative_to(inside) and not DVC_CACHE.search(target.as_posix()):
                        listing.omit(LEAVING_LINK, path.relative_to(root).as_posix())
                        continue
                if path.is_file():
                    yield path


def index_files(folders: Iterable[Path], root: Path, suffix: str, listing: Listing) -> dict[str, Path]:
    """Find all files with `suffix` (in any case) below `folders` by `name_key`; see `walk_files`.

    A name that comes up again is counted in `listing` and the first in sorted order is kept.
    """
    index: dict[str, Path] = {}
    for path in walk_files(folders, root, listing):
        if not path.name.lower().endswith(suffix):
            continue
        if name_key(path.name) in index:
            listing.omit(NAME_TWICE, path.relative_to(root).as_posix())
        else:
            index[name_key(path.name)] = path
    return index


def base_name(cell: str, suffix: str) -> str:
    """The file name in a table's cell, which may hold folders of either separator and may lack the suffix."""
    name = PurePosixPath(cell.replace("\\", "/")).name
    return name if not name or name.lower().endswith(suffix) else name + suffix


def match_rows(
    listing: Listing,
    files: Mapping[str, Path],
    rows: Iterable[tuple[str, Any]],
    describe: Callable[[str, Any], dict[str, Any] | str],
    unlisted: str = FILE_WITHOUT_ROW,
) -> None:
    """Bring a table's rows and the files together; whatever does not fit is counted in `listing`.

    Rows of one file that agree count once; when they disagree the file is left out, since nobody can tell which is
    right.

    Args:
        listing: gets the records.
        files: from `index_files`.
        rows: name of the file and whatever `describe` wants to know.
        describe: gets both and returns the fields of a `Record` but its path, or why the row is left out.
        unlisted: reason to count for a file without a row.
    """
    described: dict[str, list[tuple[str, dict[str, Any] | str]]] = defaultdict(list)
    for name, row in rows:
        described[name_key(name)].append((name, describe(name, row)))
    for key, found in described.items():
        name, facts = found[0]
        if any(other != facts for _, other in found[1:]):
            listing.omit(ROWS_DISAGREE, name)
            continue
        for again, _ in found[1:]:
            listing.omit(ROW_TWICE, again)
        if isinstance(facts, str):
            listing.omit(facts, name)
        elif key not in files:
            listing.omit(ROW_WITHOUT_FILE, name)
        else:
            listing.records.append(Record(path=files[key], **facts))
    for key in sorted(files.keys() - described.keys()):
        listing.omit(unlisted, files[key].name)


def official_split(word: str) -> OfficialSplit | None:
    """What a release calls a split, in the project's words; None for anything else."""
    return OFFICIAL_SPLITS.get(word.strip().lower())


def _settle_splits(listing: Listing) -> None:
    """Take the official split from groups that stand in two of them: such a split cannot be honoured."""
    splits: dict[str, set[OfficialSplit | None]] = defaultdict(set)
    for record in listing.records:
        splits[record.group].add(record.official_split)
    torn = {group for group, found in splits.items() if len(found) > 1}
    if torn:
        kind = next(record.group_kind for record in listing.records if record.group in torn)
        listing.records = [
            Record(**{**record.__dict__, "official_split": None}) if record.group in torn else record
            for record in listing.records
        ]
        listing.notes.append(
            f"{len(torn)} of {len(splits)} groups ({kind}) stand in two official splits; these are split anew"
        )


def finished(listing: Listing, folder: Path) -> Listing:
    """Return `listing` with its records sorted by path and moment, and no group in two official splits.

    Raises:
        EchosynthError: there are no records.
    """
    if not listing.records:
        reasons = ", ".join(f"{reason}: {len(names)}" for reason, names in listing.omitted.items()) or "no files found"
        raise EchosynthError(f"{folder} holds no usable image ({reasons}); check that it is the release's own folder")
    listing.records.sort(key=lambda record: (record.path.as_posix(), record.moment))
    _settle_splits(listing)
    return listing
