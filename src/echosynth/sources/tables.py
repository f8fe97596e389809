"""One way to look at a release folder: its tables, its files by name, and the words that releases use for splits."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from echosynth.errors import EchosynthError
from echosynth.sources.base import Listing, OfficialSplit

OFFICIAL_SPLITS: Mapping[str, OfficialSplit] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "tune": "validation",
    "validation": "validation",
    "test": "test",
    "ival": "test",
    "testing": "test",
}
ROW_WITHOUT_FILE = "row without a file"
FILE_WITHOUT_ROW = "file without a row"
ROW_TWICE = "row that stands twice"
NO_VIEW = "no view"


def read_table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Read columns of a CSV as text: no guessing of types, so that a file name such as 0X1E5 stays what it is.

    A byte-order mark, CRLF line ends, blanks round a cell and the case of the column names do not matter.

    Returns:
        The rows with exactly `columns`, all cells str, an empty cell "".

    Raises:
        EchosynthError: the table is missing, is no CSV, lacks a column or has no rows.
    """
    columns = list(columns)
    if not path.is_file():
        raise EchosynthError(f"{path} is missing; put the release's own files into {path.parent}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise EchosynthError(f"{path} is empty; copy it from the release again") from None
    except (UnicodeDecodeError, pd.errors.ParserError) as error:
        raise EchosynthError(f"{path} is no valid CSV ({error}); copy it from the release again") from None
    found = {str(name).strip().lower(): name for name in table.columns}
    missing = [name for name in columns if name.lower() not in found]
    if missing:
        raise EchosynthError(f"{path} has no column {missing[0]}; its columns are {', '.join(map(str, table.columns))}")
    if table.empty:
        raise EchosynthError(f"{path} has no rows; copy it from the release again")
    table = table[[found[name.lower()] for name in columns]].set_axis(columns, axis=1)
    # A row with fewer cells than columns still gives NaN.
    return pd.DataFrame({name: table[name].fillna("").str.strip() for name in columns})


def require_folder(folder: Path, title: str) -> Path:
    """Return `folder` when it is there and holds something.

    Raises:
        EchosynthError: it is missing or empty.
    """
    if not folder.is_dir():
        raise EchosynthError(
            f"{folder} is missing; put {title} there or take it out of the sources under data in params.yaml"
        )
    if not any(folder.iterdir()):
        raise EchosynthError(
            f"{folder} is empty; put {title} there or take it out of the sources under data in params.yaml"
        )
    return folder


def index_files(folders: Iterable[Path], suffix: str, listing: Listing) -> dict[str, Path]:
    """Find all files with `suffix` (in any case) below `folders`, by name; hidden files are passed over.

    A name that comes up again is counted in `listing` and the first in sorted order is kept.
    """
    paths = [path for folder in folders for path in folder.rglob("*") if path.suffix.lower() == suffix]
    index: dict[str, Path] = {}
    for path in sorted(paths):
        if path.name.startswith("."):  # such as the ._ files that macOS leaves on foreign disks
            continue
        if path.name in index:
            listing.omit("file name that stands twice", path.name)
        else:
            index[path.name] = path
    return index


def base_name(path: str, suffix: str) -> str:
    """The file name in a table's cell, which may hold folders of either separator and may lack the suffix."""
    name = PurePosixPath(path.replace("\\", "/")).name
    return name if not name or name.lower().endswith(suffix) else name + suffix


def official_split(word: str) -> OfficialSplit | None:
    """What a release calls a split, in the project's words; None for anything else."""
    return OFFICIAL_SPLITS.get(word.strip().lower())


def finished(listing: Listing, folder: Path) -> Listing:
    """Return `listing` with its records sorted by path and moment.

    Raises:
        EchosynthError: there are none.
    """
    if not listing.records:
        reasons = ", ".join(f"{reason}: {len(names)}" for reason, names in listing.omitted.items()) or "no files found"
        raise EchosynthError(f"{folder} holds no usable image ({reasons}); check that it is the release's own folder")
    listing.records.sort(key=lambda record: (record.path.as_posix(), record.moment))
    return listing
