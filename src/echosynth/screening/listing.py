"""What a release holds, a row a file: listed and looked at once by the screening, read by the ingest.

`files.csv` and `left_out.json` are outputs: patients and files stand in them as salted hashes alone. Names in the
clear, without which nothing can be decoded, and the decoders' sentences, which may quote a name or a header, lie in the
workspace's `.cache` and never leave this machine. Where they are missing, or the release has changed since, it is
listed anew.
"""

import json
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
from filelock import FileLock

from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_file, file_hash, fingerprint, workspace, write_json
from echosynth.imagesets.schema import FILES, check, read_csv
from echosynth.media.apart import read_frame
from echosynth.media.options import LIMITS, DecodingParams
from echosynth.screening.first_look import FirstLook
from echosynth.sources.base import Listing, Record, Source, hashed, record_id, relative
from echosynth.sources.folders import folder_stamp

TABLE: Final = "files.csv"
LEFT_OUT: Final = "left_out.json"


def _private(source: Source) -> Path:
    """Where the names in the clear lie."""
    return workspace() / ".cache" / "listings" / f"{source.name}.json"


def _key(screening: Path, stamp: str) -> str:
    """What names in the clear must fit: the outputs of the same screening, and a release that has not changed since."""
    return fingerprint(stamp, [file_hash(screening / name) for name in (TABLE, LEFT_OUT)])


def _row(record: Record, look: FirstLook, source: Source, folder: Path, salt: str) -> dict[str, Any]:
    return {
        "id": record_id(salt, source.name, relative(record, folder)),
        "view": record.view,
        "group": hashed(salt, source.name, record.group),
        "group_kind": record.group_kind,
        "official_split": record.official_split or "",
        "moment": record.moment,
        "marked": " ".join(f"{moment}:{number}" for moment, number in record.marked),
        "frames": look.frames,
        "width": look.width,
        "height": look.height,
    }


def write_listing(
    part: Path,
    source: Source,
    folder: Path,
    stamp: str,
    listing: Listing,
    looks: Sequence[FirstLook],
    salt: str,
) -> None:
    """Write the rows of a release's files, and keep the names that belong to them on this machine.

    Args:
        part: the folder of outputs that is being written; it gets files.csv and left_out.json.
        source: the adapter.
        folder: the release.
        stamp: its `folder_stamp` before it was listed: a file that comes later is in neither.
        listing: what the adapter found.
        looks: one for each of `listing.records`.
        salt: secret for the hashes.
    """
    rows = [_row(record, look, source, folder, salt) for record, look in zip(listing.records, looks, strict=True)]
    table = check(FILES, pd.DataFrame(rows, columns=list(FILES.columns)), f"the files of {source.name}")
    table.to_csv(part / TABLE, index=False, lineterminator="\n")
    hashes = {
        reason: sorted(record_id(salt, source.name, name) for name in names)
        for reason, names in listing.omitted.items()
    }
    write_json(part / LEFT_OUT, {"omitted": hashes, "notes": listing.notes})
    content = {
        "key": _key(part, stamp),
        "records": [
            (record.path.relative_to(folder).as_posix(), *astuple(record)[1:], look.error)
            for record, look in zip(listing.records, looks, strict=True)
        ],
        "omitted": listing.omitted,
        "notes": listing.notes,
    }
    private = _private(source)
    private.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(private.with_suffix(".lock")), atomic_file(private) as file:  # two experiments may screen at once
        file.write_text(json.dumps(content), encoding="utf-8")


def _recalled(screening: Path, source: Source, folder: Path) -> tuple[Listing, dict[Record, str]] | None:
    """The listing and the errors as `write_listing` kept them; None when they are missing, torn or of another state."""
    try:
        content = json.loads(_private(source).read_text(encoding="utf-8"))
        if content["key"] != _key(screening, folder_stamp(folder)):
            return None
        errors = {}
        for name, *facts, marked, error in content["records"]:
            record = Record(folder / name, *facts)
            errors[replace(record, marked=tuple((moment, number) for moment, number in marked))] = error
    except (OSError, ValueError, KeyError, TypeError):
        return None
    listing = Listing(list(errors), content["omitted"], content["notes"])
    return listing, {record: error for record, error in errors.items() if error}


def _error(path: Path, limits: DecodingParams) -> str:
    """Why the screening could not look at a file."""
    try:
        read_frame(path, limits)
    except EchosynthError as error:
        return str(error)
    return f"{path} was not there when the release was screened; run `dvc repro` again"


def read_listing(
    screening: Path, source: Source, folder: Path, salt: str, limits: DecodingParams = LIMITS
) -> tuple[Listing, dict[Record, str]]:
    """The files of a release as its screening found them.

    Args:
        screening: what `echosynth.screening.screen.screen_release` wrote.
        source: the adapter.
        folder: the release.
        salt: secret for the hashes.
        limits: section decoding.

    Returns:
        The listing, and for each record of it that cannot be read why, a sentence.

    Raises:
        EchosynthError: the table of files is missing or wrong, or the release must be listed anew and cannot be.
    """
    table = read_csv(screening / TABLE, FILES)
    if recalled := _recalled(screening, source, folder):
        return recalled
    listing, readable = source.list_records(folder), set(table.loc[table["frames"] > 0, "id"])
    unread = [
        record for record in listing.records if record_id(salt, source.name, relative(record, folder)) not in readable
    ]
    return listing, {record: _error(record.path, limits) for record in unread}
