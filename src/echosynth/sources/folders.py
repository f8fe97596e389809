"""The folder of a release and the files below it: found by name, links checked."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Listing

NAME_TWICE = "file name that stands twice"
LEAVING_LINK = "link that leaves the folder"
BROKEN_LINK = "broken link"
FOLDER_LINK = "link to a folder"
NO_TEXT = "name that is no text"
# DVC may link tracked files to its cache, where a file's path is its MD5.
DVC_CACHE = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")


def require_folder(folder: Path, title: str) -> Path:
    """Return `folder` when it is there and holds something.

    Raises:
        EchosynthError: it is missing, a file, empty or not readable.
    """
    remedy = f"put {title} there or take it out of the sources under data in params.yaml"
    if folder.is_file():
        raise EchosynthError(f"{folder} is a file and should be a folder; {remedy}")
    if not folder.is_dir():
        raise EchosynthError(f"{folder} is missing; {remedy}")
    try:
        with os.scandir(folder) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        raise EchosynthError(f"{folder} cannot be read ({error.strerror}); check its permissions") from None
    if empty:
        raise EchosynthError(f"{folder} is empty; {remedy}")
    return folder


def _subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` that are neither hidden nor links; none when it cannot be read."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
    ]


def find_root(folder: Path, names: Sequence[str], depth: int = 3) -> Path:
    """The folder that holds one of `names`: `folder`, or one below it, since archives often unpack into a folder of
    their own. `folder` when there is none, so that what is missing is looked for there.

    Raises:
        EchosynthError: two folders of the same depth hold one of `names`.
    """
    level = [folder]
    for _ in range(depth + 1):
        found = [place for place in level if any((place / name).exists() for name in names)]
        if len(found) > 1:
            raise EchosynthError(f"the release lies in {found[0]} and in {found[1]}; keep one of them")
        if found:
            return found[0]
        level = [child for place in level for child in _subfolders(place)]
    return folder


def name_key(name: str) -> str:
    """What two spellings of a file name share: releases copied to other systems differ in case and in how accents are
    composed."""
    return unicodedata.normalize("NFC", name).casefold()


def folder_stamp(folder: Path) -> str:
    """32 hex digits that change when a file below a folder comes, goes or is written to: names, sizes and times of
    change alone are looked at, and links are followed to files."""
    digest = hashlib.blake2b(digest_size=16)
    for parent, names, files in os.walk(folder):
        names.sort()
        facts: list[Any] = [os.path.relpath(parent, folder), names]
        for name in sorted(files):
            try:
                status = (Path(parent) / name).stat()
                facts.append((name, status.st_size, status.st_mtime_ns))
            except OSError:
                facts.append((name,))
        digest.update(repr(facts).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _raise_unreadable(error: OSError) -> None:
    """What `os.walk` calls for a folder that it cannot list; one that is not there holds no files."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise EchosynthError(f"{error.filename} cannot be read ({error.strerror}); check its permissions")


def _fault(path: Path, inside: Path) -> str | None:
    """Why a file or folder below the release is passed over; None when it is not.

    Linked folders inside the release are not followed: their files are found where they are, and links can go round.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return NO_TEXT
    if not path.is_symlink():
        return None
    target = os.path.realpath(path)
    if not os.path.exists(target):  # noqa: PTH110  (unlike Path.exists it never raises)
        return BROKEN_LINK
    if not Path(target).is_relative_to(inside) and not DVC_CACHE.search(target):
        return LEAVING_LINK
    return FOLDER_LINK if path.is_dir() else None


def walk_files(folders: Iterable[Path], root: Path, listing: Listing) -> Iterator[Path]:
    """All regular files below `folders` in sorted order; hidden files and folders are passed over.

    A link to a file is followed when its target lies in `root`, the release, or in DVC's cache; one of `folders` may
    be a link within the release. All other links, and names that are no text, are counted in `listing`.

    Raises:
        EchosynthError: a folder cannot be read.
    """
    inside = Path(os.path.realpath(root))

    def passed_over(path: Path) -> bool:
        reason = _fault(path, inside)
        if reason:
            name = os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")
            listing.omit(reason, name)
        return reason is not None

    for folder in folders:
        if not Path(os.path.realpath(folder)).is_relative_to(inside):
            listing.omit(LEAVING_LINK, folder.relative_to(root).as_posix())
            continue
        for parent, names, files in os.walk(folder, onerror=_raise_unreadable):
            here = Path(parent)
            # Hidden files are such as the ._ files that macOS leaves on foreign disks.
            names[:] = [name for name in sorted(names) if not name.startswith(".") and not passed_over(here / name)]
            for name in sorted(files):
                path = here / name
                if not name.startswith(".") and not passed_over(path) and path.is_file():
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
