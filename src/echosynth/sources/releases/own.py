"""A team's own recordings: a tree `<view>/<patient>/<files>`, or a manifest.csv that names file, view and patient.

Nothing is decoded here and nothing guessed: a file whose view or kind is not told is counted and left out.
"""

import os
import re
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, get_args

from echosynth.common import dicom
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.sources.base import GroupKind, Listing, Moment, Record, Source
from echosynth.sources.folders import NAME_TWICE, name_key, require_folder, walk_files
from echosynth.sources.releases.camus import NO_DATA_FILE, data_file
from echosynth.sources.tables import (
    ROWS_DISAGREE,
    SEPARATORS,
    finished,
    left_out_view,
    match_rows,
    note_unknown_splits,
    official_split,
    read_table,
    read_text,
    whole_number,
)

NAME = "own"
TITLE = "your own data"
MANIFEST = "manifest.csv"
DICOM = (".dcm", ".dicom")
MEDIA = (".avi", ".mp4", ".png", ".jpg", ".jpeg", ".mhd", ".mha", ".nii", ".nii.gz", *DICOM)
# Names of the views, without case, blanks and signs between letters, and without a closing "view".
VIEW_NAMES: Final[dict[str, str]] = {
    **dict.fromkeys(("a2c", "a2ch", "2ch", "ap2", "ap2ch", "apical2ch", "apical2chamber", "apicaltwochamber"), "A2C"),
    **dict.fromkeys(("a4c", "a4ch", "4ch", "ap4", "ap4ch", "apical4ch", "apical4chamber", "apicalfourchamber"), "A4C"),
    **dict.fromkeys(("plax", "parasternallongaxis"), "PLAX"),
    **dict.fromkeys(("psax", "parasternalshortaxis"), "PSAX"),
}
KNOWN = "A2C (2ch, apical 2 chamber), A4C (4ch, apical 4 chamber), PLAX and PSAX"
OPTIONAL = ("split", "group_kind", "ed", "es")
MOMENTS: tuple[Moment, Moment] = ("ED", "ES")
LEAVING_PATH = "path that leaves the folder"
NO_VIEW_FOLDER = "file without a view folder"
NO_PATIENT = "file without a patient folder"
NO_NAME = "row without a file name"
OTHER_KINDS = frozenset(
    {
        ".txt",
        ".csv",
        ".json",
        ".xml",
        ".pdf",
        ".md",
        ".html",
        ".raw",
        ".zraw",
        ".cfg",
        ".ini",
        ".log",
        ".zip",
        ".gz",
        ".doc",
        ".docx",
        ".xls",
        ".xlsx",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".mov",
        ".mkv",
        ".wmv",
        ".mpg",
        ".mpeg",
        ".npy",
        ".mat",
        ".h5",
    }
)
UNKNOWN_KIND = "unknown group kind"


class _Files(NamedTuple):
    """The files of the folder by `name_key` of the path below it.

    Attributes:
        media: the recordings.
        others: why a file is no recording, and its path below the folder.
        beside: keys of files that belong to a recording, as the .raw to a .mhd.
        manifest: the table that tells view and patient, where there is one.
    """

    media: dict[str, Path]
    others: dict[str, tuple[str, str]]
    beside: set[str]
    manifest: Path | None


def view_of(word: str) -> str | None:
    """The view that a folder or a cell of the manifest names; None for any other word."""
    return VIEW_NAMES.get(re.sub(r"[\W_]+", "", word.casefold()).removesuffix("view"))


def _why_not(path: Path) -> str:
    """Why `path` is no recording by its name, or, where it may be DICOM, by its first bytes; else ""."""
    name, suffix = path.name.lower(), path.suffix.lower()
    if name.endswith(MEDIA) and suffix not in DICOM:
        return ""
    try:
        with path.open("rb") as stream:
            head = stream.read(dicom.HEAD)
    except OSError:
        head = b""
    if suffix in DICOM or dicom.is_dicom(head):
        return dicom.unusable(head)
    # Reports show the reason, and what follows a dot in a name may be part of a patient's.
    return f"kind {suffix}" if suffix in OTHER_KINDS else "kind without a known suffix"


def _walk(folder: Path, listing: Listing) -> _Files:
    """Sort all files but the manifest. Where paths differ in case or accents alone, all of them are left out, since a
    row may mean each of them.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in walk_files([folder], folder, listing):
        found[name_key(path.relative_to(folder).as_posix())].append(path)
    files = _Files({}, {}, set(), next(iter(found.pop(MANIFEST, [])), None))
    for key, paths in found.items():
        reason = NAME_TWICE if len(paths) > 1 else _why_not(paths[0])
        if not reason and key.endswith(".mhd"):
            name = data_file(paths[0])
            data = key[: key.rfind("/") + 1] + name_key(name or "")
            if name is None or (name and data not in found):
                reason = NO_DATA_FILE
            elif name:
                files.beside.add(data)
        if reason:
            files.others[key] = (reason, paths[0].relative_to(folder).as_posix())
        else:
            files.media[key] = paths[0]
    return files


def _view_folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and view_of(path.name)]


def _from_folders(folder: Path, files: _Files, listing: Listing) -> None:
    """Records of the tree; a patient's name means the same patient under every view."""
    if not _view_folders(folder):
        raise EchosynthError(
            f"{folder} has neither a {MANIFEST} nor folders named after views; sort the files as "
            f"<view>/<patient>/<file>, where the views are {KNOWN}"
        )
    for path in files.media.values():
        relative = path.relative_to(folder)
        view = view_of(relative.parts[0])
        if len(relative.parts) == 1:
            listing.omit(NO_VIEW_FOLDER, relative.as_posix())
        elif view is None:
            listing.omit(left_out_view(relative.parts[0]), relative.as_posix())
        elif len(relative.parts) == 2:
            listing.omit(NO_PATIENT, relative.as_posix())
        else:
            listing.records.append(Record(path, view, name_key(relative.parts[1]), "patient"))


def _optional_columns(path: Path) -> list[str]:
    """Which of the optional columns the manifest has."""
    first = next((line for line in read_text(path).splitlines() if line.strip(f"{SEPARATORS} ")), "")
    names = {cell.strip(' "').lower() for cell in re.split(f"[{SEPARATORS}]", first)}
    return [name for name in OPTIONAL if name in names]


def _below(folder: Path, cell: str) -> str | None:
    """The path in `cell`, of either separator, from `folder` on; None when it leaves it."""
    root, plain = PurePosixPath(os.path.normpath(folder.absolute())), cell.replace("\\", "/")
    path = PurePosixPath(os.path.normpath(root / plain))
    if re.match(r"[A-Za-z]:/", plain) or path == root or not path.is_relative_to(root):
        return None
    return path.relative_to(root).as_posix()


def _from_manifest(folder: Path, path: Path, files: _Files, listing: Listing) -> None:
    """Records of the manifest; what is odd in its optional columns leaves nothing out but is noted."""
    table = read_table(path, ("file", "view", "patient", *_optional_columns(path)))
    if not any(map(view_of, table["view"].unique())):
        raise EchosynthError(f"{path} names no known view in its column view; known are {KNOWN}")
    odd: Counter[str] = Counter()

    def describe(name: str, row: dict[str, str]) -> dict[str, Any] | str:
        view, kind = view_of(row["view"]), row.get("group_kind", "").lower() or "patient"
        if not row["file"]:
            return NO_NAME
        if _below(folder, row["file"]) is None:
            return LEAVING_PATH
        if name_key(name) in files.others:
            return files.others[name_key(name)][0]
        if view is None:
            return left_out_view(row["view"])
        if kind not in get_args(GroupKind):
            return UNKNOWN_KIND
        odd["rows name no patient; there the file is the group"] += not row["patient"]
        frames = {moment: row.get(moment.lower(), "") for moment in MOMENTS}
        numbers = {moment: whole_number(cell) for moment, cell in frames.items()}
        marked = tuple((moment, number) for moment, number in numbers.items() if number is not None)
        odd["entries in ed and es are no whole numbers from 0 and count as none"] += sum(
            map(bool, frames.values())
        ) - len(marked)
        return {
            "view": view,
            "group": name_key(row["patient"] or name),
            "group_kind": kind if row["patient"] else "file",
            "official_split": official_split(row.get("split", "")),
            "marked": marked,
        }

    rows = [(_below(folder, row["file"]) or row["file"], row) for row in table.to_dict("records")]
    match_rows(listing, files.media, rows, describe)
    named = {name_key(name) for name, _ in rows}
    for key in named & files.others.keys():
        del files.others[key]
    note_unknown_splits(listing, filter(None, table.get("split", ())))
    listing.notes += [f"{count} {what}" for what, count in odd.items() if count]
    if _view_folders(folder):
        listing.notes.append(f"{MANIFEST} counts; the names of the folders beside it were not read")


def _one_view_each(listing: Listing, folder: Path) -> None:
    """Leave out files that are one and the same (linked, also by DVC) but stand under two views."""
    views: dict[tuple[int, int], set[str]] = defaultdict(set)
    places = {}
    for record in listing.records:
        status = record.path.stat()
        places[record] = (status.st_dev, status.st_ino)
        views[places[record]].add(record.view)
    kept = [record for record in listing.records if len(views[places[record]]) == 1]
    for record in listing.records:
        if len(views[places[record]]) > 1:
            listing.omit(ROWS_DISAGREE, record.path.relative_to(folder).as_posix())
    listing.records = kept


def list_records(folder: Path) -> Listing:
    """List the recordings of a manifest.csv or, without one, of a tree `<view>/<patient>/<files>`.

    Raises:
        EchosynthError: the folder is missing, neither manifest nor view folders are there, the manifest cannot be read
        or names no known view, or nothing usable is found.
    """
    listing = Listing()
    files = _walk(require_folder(folder, TITLE), listing)
    if files.manifest:
        _from_manifest(folder, files.manifest, files, listing)
    else:
        _from_folders(folder, files, listing)
    for key, (reason, name) in files.others.items():
        if key not in files.beside:
            listing.omit(reason, name)
    _one_view_each(listing, folder)
    return finished(listing, folder)


SOURCE = Source(
    name=NAME,
    title=TITLE,
    views=VIEWS,
    unit="cine or still",
    group_kind="patient",
    layout=(
        "<view>/<patient>/**/* (view: A2C, A4C, PLAX, PSAX, or such as 2ch, apical 4 chamber), or",
        "manifest.csv with the columns file,view,patient; paths from this folder on",
        "  optional columns: split (train, validation, test), group_kind (patient, study, cine, file),",
        "  ed and es (number of the frame, from 0)",
        "DICOM (also without suffix), AVI, MP4, PNG, JPEG, .mhd with .raw, .mha, .nii, .nii.gz",
    ),
    licence="your own; see to consent and approval",
    citation="your own",
    list_records=list_records,
    complete=False,
)
