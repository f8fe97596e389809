"""From a release folder to an image set: list, choose, decode and prepare in parallel, write as one folder."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from echosynth.common.files import atomic_file, fingerprint, workspace
from echosynth.common.parallel import run
from echosynth.common.progress import progress
from echosynth.imagesets.schema import check_ids
from echosynth.imagesets.store import write_image_stream
from echosynth.ingest.batches import Batch, decode
from echosynth.ingest.journal import Journal
from echosynth.ingest.options import IngestSettings
from echosynth.ingest.rules import limit_per_patient, own_seed
from echosynth.ingest.summary import Account
from echosynth.screening.decisions import verdicts
from echosynth.screening.listing import read_listing
from echosynth.sources.base import Record, Source, read_salt, record_id, relative
from echosynth.sources.folders import folder_stamp

Review = tuple[Path, Path]  # the folder of a screening, and the file of a person's decisions
# Files of a batch at most; smaller releases get smaller batches, so that all cores have some.
BATCH, FEWEST_BATCHES = 32, 16
# They say how files are read, not what comes out.
HOW = {"backend", "dask_scheduler", "workers"}


def _limited(account: Account) -> list[Record]:
    """The stills of the listing that are taken; the others are counted."""
    taken, dropped = limit_per_patient(account.listing.records, account.params.ingest)
    for record in dropped:
        account.listing.omit(f"not taken: {account.params.ingest.limits}", relative(record, account.folder))
    return taken


def _readable(account: Account, records: Sequence[Record], errors: Mapping[Record, str]) -> list[Record]:
    """Those of the records that the screening could read; the others are counted as unreadable."""
    for record in records:
        if record in errors:
            account.refuse(record, errors[record])
    return [record for record in records if record not in errors]


def _kept(account: Account, records: Sequence[Record], review: Review | None) -> list[Record]:
    """The recordings that the screening and a person's decisions keep, all without `review`; the others are counted."""
    ids = {record_id(account.salt, account.source.name, relative(record, account.folder)): record for record in records}
    reasons = dict.fromkeys(ids, "")
    if review:
        reasons = verdicts(*review, account.params.review)
        check_ids(ids, reasons, str(review[0] / "files.csv"), str(review[0] / "recordings.csv"))
    by_reason = Counter(reasons[name] for name in ids if reasons[name])
    kept = [record for name, record in ids.items() if not reasons[name]]
    for name, record in ids.items():
        if reasons[name]:
            account.listing.omit(reasons[name], relative(record, account.folder))
    account.screening = {
        "method": account.params.review.method if review else "none",
        "kept": len(kept),
        "dropped": by_reason.total(),
        "by_reason": dict(by_reason),
    }
    return kept


def _chosen(account: Account, errors: Mapping[Record, str], review: Review | None) -> list[Record]:
    """The records of which frames are taken."""
    records = account.listing.records
    if account.source.has_cines:
        return _kept(account, _readable(account, records, errors), review)
    _kept(account, records, None)  # nothing is screened out of stills, and the report says so
    return _readable(account, _limited(account), errors)


def _journal(source: Source, folder: Path, records: Sequence[Record], params: IngestSettings) -> Journal:
    listing = [(relative(record, folder), record.moment, record.marked) for record in records]
    settings = [params.ingest.model_dump(exclude=HOW), params.decoding.model_dump()]
    return Journal(source.name, source.has_cines, settings, fingerprint(listing), folder_stamp(folder))


def _decode_all(
    journal: Journal, source: Source, folder: Path, records: Sequence[Record], params: IngestSettings
) -> list[int]:
    """Bring every batch into the journal; those that are there already are not decoded again. Returns their sizes."""
    size = max(1, min(BATCH, len(records) // FEWEST_BATCHES))
    starts = range(0, len(records), size)
    sizes = [len(records[start : start + size]) for start in starts]
    missing = journal.missing(sizes)
    done = len(records) - sum(sizes[number] for number in missing)
    if done:
        print(f"{source.name}: going on after {done} of {len(records)} files", file=sys.stderr)

    def batches() -> Iterator[Batch]:
        for number in missing:
            chosen = records[starts[number] : starts[number] + size]
            seeds = [own_seed(params.ingest.seed, source.name, relative(record, folder)) for record in chosen]
            yield Batch(number, chosen, seeds, source.has_cines, params.ingest, params.decoding)

    def finished() -> Iterator[int]:
        for number, data in run(decode, batches(), params.ingest):
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
    source: Source, folder: Path, out: Path, params: IngestSettings, review: Review | None = None
) -> dict[str, Any]:
    """Turn a release into an image set with a report, whole or not at all.

    Of stills with a known patient at most `ingest.max_per_patient_view` of each patient and view are taken, and at
    most `ingest.max_per_patient` of each patient; of a cine the frames that `ingest.frames` asks for; cines that the
    screening drops are left out. The bytes written depend neither on the back end nor on the number of workers. An
    ingest that was killed goes on after the last finished batch when it is started again.

    Args:
        source: the adapter.
        folder: the release.
        out: the image set: images.zip, manifest.csv and report.json.
        params: sections data, decoding, review and ingest.
        review: the outcome of the screening (a folder), whose rows of files are read, and a person's decisions (a
            file), which are not looked at for sources of stills. None: the release is listed here, and every cine is
            kept.

    Returns:
        The content of report.json: source, images, views (view -> images), left_out, omitted (reason -> count and up
        to 20 names, as salted hashes like the ids in the manifest), notes, native_sizes ("640x480" -> images),
        frame_counts (frames in a file -> files), frames (fewest, median, most of a file), enlarged (images of a file
        smaller than ingest.size), squared (images whose pixels were made square), group_kinds (kind -> images), groups,
        selection (in words), validation (of the screening: method, kept, dropped, by_reason; method none for stills).

    Raises:
        EchosynthError: the folder or a table is missing, more than `data.max_bad_share` of the files are unreadable,
            a view of a complete source has no image, or the workers cannot be reached or die.
    """
    salt, errors = read_salt(params.data.salt_file, params.data.salt_id), dict[Record, str]()
    if review:
        listing, errors = read_listing(review[0], source, folder, salt, params.decoding)
    else:
        listing = source.list_records(folder)
    account = Account(source, listing, folder, params, salt)
    records = _chosen(account, errors, review)
    journal = _journal(source, folder, records, params)
    with journal.held():
        sizes = _decode_all(journal, source, folder, records, params)
        try:
            write_image_stream(out, _rows(journal, sizes, records, account), lambda: {"report.json": account.content()})
        finally:
            _write_names(account)
        journal.clear()
    for line in account.lines():
        print(line, file=sys.stderr)
    return account.content()
