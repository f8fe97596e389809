"""What an ingest would find in a release folder, in seconds: its tables and names are read, no picture is decoded."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress
from echosynth.ingest.options import IngestSettings
from echosynth.ingest.rules import bad_files, limit_per_patient, missing_views, too_many_bad
from echosynth.media.probe import MAX_PIXELS, PICTURE_SUFFIXES, VIDEO_SUFFIXES, allow_pixels, probe
from echosynth.sources.base import Listing, Record, Source, read_salt, relative

# Looking at a file is waiting for the disk, and a network disk answers many at a time.
THREADS = 16
AT_A_TIME = 256


@dataclass(frozen=True)
class Check:
    """What was found in a release folder. Names are paths below the folder, in the clear: for the terminal alone.

    Attributes:
        source: name of the release.
        records: pictures and cines that look usable, files that show two moments counted twice.
        views: view -> records.
        splits: official split ("none" without one) -> records.
        groups: kind of group -> number of groups.
        files: cine, still or "cine or still" (known once decoded) -> records.
        omitted: reason -> names of files or rows that an ingest would leave out.
        bad: files that are unreadable or missing, the share that `data.max_bad_share` limits.
        missing: views that the release should hold, but does not.
        notes: what is odd but left nothing out.
        taken: records that are left after `ingest.max_per_patient_view`; None without parameters.
        stops: a sentence for each reason why an ingest would stop; none when it would go through.
    """

    source: str
    records: int
    views: dict[str, int]
    splits: dict[str, int]
    groups: dict[str, int]
    files: dict[str, int]
    omitted: dict[str, list[str]]
    bad: int
    missing: list[str]
    notes: list[str]
    taken: int | None
    stops: list[str]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _probe_all(records: Sequence[Record], what: str) -> dict[Path, str]:
    """File -> why it would be left out, for the files with which something is visibly wrong."""
    paths = list(dict.fromkeys(record.path for record in records))
    parts = [paths[first : first + AT_A_TIME] for first in range(0, len(paths), AT_A_TIME)]
    found: dict[Path, str] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        looked = pool.map(lambda part: [(path, probe(path)) for path in part], parts)
        for path, reason in progress(chain.from_iterable(looked), len(paths), what, "files"):
            if reason is not None:
                found[path] = f"file {reason}"
    return found


def _file_kind(record: Record, source: Source) -> str:
    """Whether a record is a cine or a still, as far as the release and the file's name tell."""
    suffix = record.path.suffix.lower()
    if record.moment or suffix in PICTURE_SUFFIXES:
        return "still"
    return "cine" if suffix in VIDEO_SUFFIXES else source.unit


def _counted(words: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _stops(
    source: Source, params: IngestSettings | None, bad: int, total: int, missing: Sequence[str]
) -> Iterator[str]:
    """Why an ingest would stop, a sentence each."""
    if bad == total:
        yield "no file is usable; copy the release again"
    elif params and (problem := too_many_bad(bad, total, params.data.max_bad_share)):
        yield f"{problem}; copy them again"
    if missing and bad < total:
        yield f"no image of {', '.join(missing)}, which {source.title} holds; copy the whole release"
    if params:
        try:
            read_salt(params.data.salt_file, params.data.salt_id)
        except EchosynthError as error:
            yield str(error)


def check(source: Source, folder: Path, params: IngestSettings | None = None) -> Check:
    """Look through a release folder without decoding anything.

    Args:
        source: the adapter.
        folder: the release.
        params: sections data, decoding and ingest; without them nothing is said about shares and selection.

    Raises:
        EchosynthError: the adapter refuses the folder: it or a table is missing, or nothing in it is usable.
    """
    allow_pixels(params.decoding.pixels if params else MAX_PIXELS)
    listing: Listing = source.list_records(folder)
    wrong = _probe_all(listing.records, source.name)
    omitted: dict[str, list[str]] = defaultdict(
        list, {reason: list(names) for reason, names in listing.omitted.items()}
    )
    records = []
    for record in listing.records:
        if record.path in wrong:
            omitted[wrong[record.path]].append(relative(record, folder))
        else:
            records.append(record)
    views = Counter(record.view for record in records)
    groups: dict[str, set[str]] = defaultdict(set)
    for record in records:
        groups[record.group_kind].add(record.group)
    missing = missing_views(source, views)
    bad, total = bad_files(listing, len(listing.records) - len(records), len(listing.records))
    taken = None
    if params:
        chosen = listing.records if source.has_cines else limit_per_patient(listing.records, params.ingest)[0]
        taken = sum(record.path not in wrong for record in chosen)
    return Check(
        source=source.name,
        records=len(records),
        views={view: views[view] for view in source.views if views[view] or source.complete},
        splits=_counted([record.official_split or "none" for record in records]),
        groups={kind: len(keys) for kind, keys in sorted(groups.items())},
        files=_counted([_file_kind(record, source) for record in records]),
        omitted=dict(sorted(omitted.items())),
        bad=bad,
        missing=missing,
        notes=list(listing.notes),
        taken=taken,
        stops=list(_stops(source, params, bad, total, missing)),
    )
