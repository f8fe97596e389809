"""From a release folder to an image set: list, choose, decode and prepare in parallel, write as one folder."""

import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_file, workspace
from echosynth.common.parallel import run
from echosynth.common.progress import progress
from echosynth.imagesets.store import write_image_stream
from echosynth.ingest.frames import Key, read_record
from echosynth.ingest.journal import Journal, pack
from echosynth.ingest.options import IngestParams, Settings
from echosynth.ingest.summary import Account
from echosynth.media.decode import read_frame
from echosynth.media.probe import HEAD, meta_data_file, meta_header
from echosynth.screening.decisions import verdicts
from echosynth.sources.base import Listing, Record, Source, hashed, read_salt, record_id, relative

# Files of a batch at most; smaller releases get smaller batches, so that all cores have some.
BATCH, FEWEST_BATCHES = 32, 16
# They say how files are read, not what comes out.
HOW = {"backend", "dask_scheduler", "workers"}


@dataclass(frozen=True)
class _Batch:
    """Files that a process decodes in one go."""

    number: int
    records: Sequence[Record]
    keys: Sequence[Key]
    is_cine: bool
    params: IngestParams


def _decode(batch: _Batch) -> tuple[int, bytes]:
    """The number of a batch and its pictures as the journal keeps them: small, and ready to be written."""
    readings = (
        read_record(record, batch.is_cine, key, batch.params)
        for record, key in zip(batch.records, batch.keys, strict=True)
    )
    return batch.number, pack(readings)


def _seed(seed: int, *parts: str) -> Key:
    """A seed of its own for a file or patient, so that others coming or going change nothing."""
    return seed, int(hashed("", *parts), 16)


def _limit_per_patient(listing: Listing, folder: Path, params: IngestParams) -> list[Record]:
    """At most `max_per_patient_view` records of one patient and view, drawn at random; the others are counted in
    `listing`.
    """
    together: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in listing.records:
        together[record.group, record.view].append(record)
    dropped: set[Record] = set()
    for (group, view), records in together.items():
        if records[0].group_kind == "patient" and len(records) > params.max_per_patient_view:
            rng = np.random.default_rng(_seed(params.seed, group, view))
            order = rng.permutation(len(records))
            dropped.update(records[index] for index in order[params.max_per_patient_view :])
    reason = f"more than {params.max_per_patient_view} of one patient and view"
    for record in listing.records:
        if record in dropped:
            listing.omit(reason, relative(record, folder))
    return [record for record in listing.records if record not in dropped]


def _unvalidated(path: Path) -> str:
    """Why the validation could not look at a recording."""
    try:
        read_frame(path)
    except EchosynthError as error:
        return str(error)
    return f"{path} was not there when the recordings were validated; run `dvc repro` again"


def _validate(account: Account, review: tuple[Path, Path] | None) -> list[Record]:
    """The records that the video validation and a person's decisions keep; the others are counted."""
    records, params, reasons = account.listing.records, account.params.review, dict[str, str]()
    if review:
        reasons = verdicts(*review, params)
    kept, by_reason = [], Counter[str]()
    for record in records:
        name = relative(record, account.folder)
        reason = reasons.get(record_id(account.salt, account.source.name, name)) if review else ""
        if reason is None:
            account.refuse(record, _unvalidated(record.path))
        elif not reason:
            kept.append(record)
        else:
            by_reason[reason] += 1
            account.listing.omit(reason, name)
    account.validation = {
        "method": params.method if review else "none",
        "kept": len(kept),
        "dropped": by_reason.total(),
        "by_reason": dict(by_reason),
    }
    return kept


def _stamp(path: Path) -> str:
    """Size and time of change of a file, and of the data file of a MetaImage header."""
    found = []
    try:
        parts = [path]
        if path.suffix.lower() == ".mhd":
            with path.open("rb") as stream:
                data = meta_data_file(path, meta_header(stream.read(HEAD)))
            parts += [data] if data else []
        for part in parts:
            status = part.stat()
            found.append(f"{status.st_size} {status.st_mtime_ns}")
    except OSError:
        pass  # decoding will say what is wrong with it
    return " ".join(found)


def _journal(source: Source, folder: Path, records: Sequence[Record], params: IngestParams) -> Journal:
    listing = hashlib.blake2b(digest_size=16)
    for record in records:
        parts = (relative(record, folder), record.moment, record.marked, _stamp(record.path))
        listing.update(f"{parts}\n".encode("utf-8", "surrogateescape"))
    settings = params.model_dump(exclude=HOW)
    return Journal(source.name, source.has_cines, settings, listing.hexdigest())


def _decode_all(
    journal: Journal, source: Source, folder: Path, records: Sequence[Record], params: IngestParams
) -> list[int]:
    """Bring every batch into the journal; those that are there already are not decoded again. Returns their sizes."""
    size = max(1, min(BATCH, len(records) // FEWEST_BATCHES))
    starts = range(0, len(records), size)
    sizes = [len(records[start : start + size]) for start in starts]
    missing = journal.missing(sizes)
    done = len(records) - sum(sizes[number] for number in missing)
    if done:
        print(f"{source.name}: going on after {done} of {len(records)} files", file=sys.stderr)

    def batches() -> Iterator[_Batch]:
        for number in missing:
            chosen = records[starts[number] : starts[number] + size]
            keys = [_seed(params.seed, source.name, relative(record, folder)) for record in chosen]
            yield _Batch(number, chosen, keys, source.has_cines, params)

    def finished() -> Iterator[int]:
        for number, data in run(_decode, batches(), params):
            journal.write(number, data)
            yield from range(sizes[number])

    for _ in progress(finished(), len(records), source.name, "files", done):
        pass
    return sizes


def _rows(
    journal: Journal, sizes: Sequence[int], records: Sequence[Record], account: Account
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Rows and pictures in the order of the records, whatever the order in which they were decoded."""
    places, refused = count(), len(account.errors)
    for number in range(len(sizes)):
        for reading in journal.read(number):
            record = records[next(places)]
            account.file(record, reading)
            for taken in reading.taken:
                yield account.row(record, reading, taken), taken.png
    account.check(len(records) + refused)


def _write_names(account: Account) -> None:
    """Say which files were left out in a table that stays on this machine, outside git, DVC and MLflow."""
    names = account.names()
    path = workspace() / ".cache" / "left-out" / f"{account.source.name}.csv"
    if names.empty:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path) as part:
        names.to_csv(part, index=False)
    print(f"{account.source.name}: what was left out, by name: {path.relative_to(workspace())}", file=sys.stderr)


def ingest(
    source: Source, folder: Path, out: Path, params: Settings, review: tuple[Path, Path] | None = None
) -> dict[str, Any]:
    """Turn a release into an image set with a report, whole or not at all.

    Of stills with a known patient at most `ingest.max_per_patient_view` of each patient and view are taken, of a cine
    the frames that `ingest.frames` asks for; cines that the video validation drops are left out. The bytes written
    depend neither on the back end nor on the number of workers. An ingest that was killed goes on after the last
    finished batch when it is started again.

    Args:
        source: the adapter.
        folder: the release.
        out: the image set: images.zip, manifest.csv and report.json.
        params: sections data, review and ingest.
        review: the outcome of the video validation (a folder) and a person's decisions (a file); None: every cine is
            kept. Not looked at for sources of stills.

    Returns:
        The content of report.json: source, images, views (view -> images), left_out, omitted (reason -> count and up
        to 20 names, as salted hashes like the ids in the manifest), notes, native_sizes ("640x480" -> images),
        frame_counts (frames in a file -> files), frames (fewest, median, most of a file), enlarged (images of a file
        smaller than ingest.size), group_kinds (kind -> images), groups, selection (in words), validation (method, kept,
        dropped, by_reason; method none for stills).

    Raises:
        EchosynthError: the folder or a table is missing, more than `data.max_bad_share` of the files are unreadable,
            a view of a complete source has no image, or the workers cannot be reached or die.
    """
    listing = source.list_records(folder)
    account = Account(source, listing, folder, params, read_salt(Path(params.data.salt_file)))
    records = _validate(account, review if source.has_cines else None)
    if not source.has_cines:
        records = _limit_per_patient(listing, folder, params.ingest)
    journal = _journal(source, folder, records, params.ingest)
    with journal.held():
        sizes = _decode_all(journal, source, folder, records, params.ingest)
        try:
            write_image_stream(out, _rows(journal, sizes, records, account), lambda: {"report.json": account.content()})
        finally:
            _write_names(account)
        journal.clear()
    for line in account.lines():
        print(line, file=sys.stderr)
    return account.content()
