"""The tables of a release, brought together with its files, and the words that releases use for splits."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Listing, OfficialSplit, Record
from echosynth.sources.folders import name_key

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
NO_VIEW = "no view"
UNKNOWN_VIEW = "unknown word for a view"
# What a view that is left out may be called in reports. Any other word may be anything, such as a patient's name in a
# row that is shifted.
OTHER_VIEWS = frozenset(
    {
        "a3c",
        "3ch",
        "a5c",
        "5ch",
        "sc4c",
        "sub",
        "subcostal",
        "suprasternal",
        "ssn",
        "psax",
        "plax",
        "rvot",
        "rv",
        "rvi",
        "rvinflow",
        "ivc",
        "mmode",
        "m-mode",
        "doppler",
        "other",
        "others",
        "unknown",
        "none",
    }
)
SEPARATORS = ",;\t|"
SEPARATOR_LINE = re.compile(r'^"?sep=.?"?(?=[ \t]*\r?\n)', re.IGNORECASE)


def read_text(path: Path) -> str:
    """The text of a table or list, in UTF-8 with or without a byte-order mark, UTF-16 with one, else Windows-1252; with
    a blank first line in place of the `sep=;` by which spreadsheets name their separator.

    Raises:
        EchosynthError: the file is missing, unreadable or no text.
    """
    if path.is_dir():
        raise EchosynthError(f"{path} is a folder and should be a file; put the release's own files into {path.parent}")
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
            return SEPARATOR_LINE.sub("", text)
    raise EchosynthError(f"{path} is no text; copy it from the release again or save it in UTF-8")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number of the line and cells of every row that is not blank, divided at the one of `SEPARATORS` that divides
    the first of them into most cells.
    """
    text = read_text(path)
    first = next((line for line in io.StringIO(text) if line.strip(f"{SEPARATORS} \r\n")), "")
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise EchosynthError(f"{path} is no valid CSV ({error}); copy it from the release again") from None


def _places(path: Path, header: list[str], columns: Iterable[str | Sequence[str]]) -> dict[str, int]:
    """Wanted column (the first of its names) -> its place in `header`."""
    places: dict[str, int] = {}
    lower = [name.lower() for name in header]
    for names in columns:
        choices = [names] if isinstance(names, str) else list(names)
        found = next((name for name in choices if name.lower() in lower), None)
        if found is None:
            # A file of another kind may have a first line of any length.
            shown = ", ".join(name[:30] for name in header[:20])
            raise EchosynthError(f"{path} has no column {choices[0]}; its columns are {shown}")
        if lower.count(found.lower()) > 1:
            raise EchosynthError(f"{path} has the column {found} twice; copy it from the release again")
        places[choices[0]] = lower.index(found.lower())
    return places


def read_table(path: Path, columns: Iterable[str | Sequence[str]]) -> pd.DataFrame:
    """Read columns of a CSV as text: no guessing of types, so that a file name such as 0X1E5 stays what it is.

    A byte-order mark, CRLF line ends, the encoding, the separator (comma, semicolon, tab, bar), blank lines, blanks
    round a cell and the case of the column names do not matter. A row that is too short ends in empty cells.

    Args:
        path: the table.
        columns: names of the wanted columns; several names for one mean that releases differ.

    Returns:
        The rows with exactly `columns` (the first of several names), all cells str, an empty cell "".

    Raises:
        EchosynthError: the table is missing, is no CSV, lacks a column or has it twice, has no rows, has a row with
        more cells than the header or a cell with a line break.
    """
    rows = _rows(path)
    header = [cell.strip() for cell in next(rows, (0, []))[1]]
    if not header:
        raise EchosynthError(f"{path} is empty; copy it from the release again")
    places = _places(path, header, columns)
    cells: list[list[str]] = []
    for line, row in rows:
        if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
            raise EchosynthError(
                f"{path}: line {line} has {len(row)} cells, the header {len(header)}; correct that line"
            )
        if any("\n" in cell or "\r" in cell for cell in row):
            # Two stray quotes would otherwise bring the name of one row and the view of another together.
            raise EchosynthError(f"{path}: a cell that ends in line {line} spans several lines; correct its quotes")
        cells.append([row[place].strip() if place < len(row) else "" for place in places.values()])
    if not cells:
        raise EchosynthError(f"{path} has no rows; copy it from the release again")
    return pd.DataFrame(cells, columns=list(places), dtype=str)


def whole_number(cell: str) -> int | None:
    """The number in a cell, also as spreadsheets and pandas write one of a column with gaps (112.0, 112,00); None for
    anything but a whole number from 0 of at most six digits."""
    found = re.fullmatch(r"([0-9]{1,6})(?:[.,]0+)?", cell)
    return int(found[1]) if found else None


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


def left_out_view(word: str) -> str:
    """Reason for a word that names none of the views of a source."""
    plain = " ".join(word.lower().split())
    return (f"view {plain}" if plain in OTHER_VIEWS else UNKNOWN_VIEW) if plain else NO_VIEW


def official_split(word: str) -> OfficialSplit | None:
    """What a release calls a split, in the project's words; None for anything else."""
    return OFFICIAL_SPLITS.get(word.strip().lower())


def note_unknown_splits(listing: Listing, words: Iterable[str]) -> None:
    """Note how many of `words`, the cells of a column of splits, name no split that is known."""
    unknown = sum(official_split(word) is None for word in words)
    if unknown:
        # The words are not shown: in a shifted table they could be anything.
        listing.notes.append(f"{unknown} rows name no known split; they count as rows without an official split")


def _settle_splits(listing: Listing) -> None:
    """Take the official split from groups that stand in two of them: such a split cannot be honoured."""
    splits: dict[str, set[OfficialSplit]] = defaultdict(set)
    for record in listing.records:
        if record.official_split:
            splits[record.group].add(record.official_split)
    groups = len({record.group for record in listing.records})
    torn = {group for group, found in splits.items() if len(found) > 1}
    if torn:
        kind = next(record.group_kind for record in listing.records if record.group in torn)
        listing.records = [
            replace(record, official_split=None) if record.group in torn else record for record in listing.records
        ]
        listing.notes.append(
            f"{len(torn)} of {groups} groups ({kind}) stand in two official splits; these are split anew"
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
