"""From a release folder to an image set: list, choose, decode and prepare in parallel, write as one folder."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from echosynth.config import IngestParams, Params
from echosynth.errors import EchosynthError
from echosynth.images.colour import unusable
from echosynth.images.decode import read_frame
from echosynth.images.prepare import Picture, prepare
from echosynth.images.store import write_image_stream
from echosynth.progress import progress
from echosynth.sources.base import Listing, Record, Source, hashed, record_id
from echosynth.sources.tables import ROW_WITHOUT_FILE

NAMES_SHOWN = 20
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class _Outcome:
    """What became of one record: a picture with its numbers, or the reason why there is none."""

    record: Record
    picture: Picture | None = None
    frame: int = 0
    frames: int = 0
    width: int = 0
    height: int = 0
    reason: str = ""
    error: str = ""


def _relative(record: Record, folder: Path) -> str:
    """What names the picture within its release, the same on every machine."""
    return f"{record.path.relative_to(folder).as_posix()} {record.moment}".strip()


def _seed(seed: int, *parts: str) -> tuple[int, int]:
    """A seed of its own for a file or patient, so that others coming or going change nothing."""
    return seed, int(hashed("", *parts), 16)


def _read_one(record: Record, is_video: bool, key: tuple[int, int], params: IngestParams) -> _Outcome:
    """Decode, judge and prepare one record."""
    try:
        if is_video:
            reason = unusable(read_frame(record.path).frames[0], 0.01)
            if reason:
                return _Outcome(record, reason=reason)
            clip = read_frame(record.path, lambda total: int(np.random.default_rng(key).integers(total)))
        else:
            clip = read_frame(record.path)
        native = clip.frames[0]
        picture = prepare(native, params.size, clip.spacing, params.resampling)
    except EchosynthError as error:
        return _Outcome(record, reason=UNREADABLE, error=str(error))
    return _Outcome(record, picture, clip.first, clip.total, native.shape[1], native.shape[0])


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
            listing.omit(reason, _relative(record, folder))
    return [record for record in listing.records if record not in dropped]


def read_salt(path: Path) -> str:
    """The secret for hashes. It lives in a file, so that it is in no parameter list, page or run.

    Raises:
        EchosynthError: the file is missing or empty.
    """
    salt = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if not salt:
        raise EchosynthError(f"data.salt_file: {path} is missing or empty; write a long random text into it")
    return salt


class _Report:
    """Counts on the way and refuses a release of which too much is unreadable or a view is missing."""

    def __init__(self, source: Source, listing: Listing, folder: Path, params: Params) -> None:
        self.source, self.listing, self.folder, self.params = source, listing, folder, params
        self.salt = read_salt(Path(params.data.salt_file))
        self.views, self.sizes = Counter[str](), Counter[str]()
        self.frames: list[int] = []
        self.enlarged = 0
        self.errors: list[str] = []

    def name(self, text: str) -> str:
        """Stands for a file in outputs: names of some releases hold the patient's number."""
        return record_id(self.salt, self.source.name, text)

    def row(self, outcome: _Outcome) -> dict[str, Any]:
        """Count a picture and return its row of the manifest."""
        record = outcome.record
        self.views[record.view] += 1
        self.sizes[f"{outcome.width}x{outcome.height}"] += 1
        self.frames.append(outcome.frames)
        self.enlarged += min(outcome.width, outcome.height) < self.params.ingest.size
        return {
            "id": self.name(_relative(record, self.folder)),
            "source": self.source.name,
            "view": record.view,
            "group": hashed(self.salt, self.source.name, record.group),
            "group_kind": record.group_kind,
            "official_split": record.official_split or "",
            "frame": outcome.frame,
            "frames": outcome.frames,
            "width": outcome.width,
            "height": outcome.height,
            "synthetic": False,
        }

    def omit(self, outcome: _Outcome) -> None:
        """Count a record that gave no picture."""
        self.listing.omit(outcome.reason, _relative(outcome.record, self.folder))
        if outcome.error:
            self.errors.append(outcome.error)

    def check(self, attempted: int) -> None:
        """Raise EchosynthError when the release cannot be trusted."""
        lost = self.listing.omitted.get(ROW_WITHOUT_FILE, [])
        bad, total = len(self.errors) + len(lost), attempted + len(lost)
        if bad > self.params.data.max_bad_share * total:
            first = self.errors[0] if self.errors else f"{lost[0]} is in a table, but there is no such file"
            raise EchosynthError(
                f"{self.source.name}: {bad} of {total} files ({bad / total:.1%}) are unreadable or missing, more than "
                f"data.max_bad_share = {self.params.data.max_bad_share} allows; the first: {first}"
            )
        missing = [view for view in self.source.views if not self.views[view]]
        if missing:
            raise EchosynthError(
                f"{self.source.name}: no image of {', '.join(missing)} is left in {self.folder}; "
                f"left out were {self.left_out() or 'none'}"
            )

    def left_out(self) -> dict[str, int]:
        """Reason -> how many were left out for it."""
        return {reason: len(names) for reason, names in sorted(self.listing.omitted.items())}

    def content(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "source": self.source.name,
            "images": self.views.total(),
            "views": {view: self.views[view] for view in self.source.views},
            "left_out": sum(self.left_out().values()),
            "omitted": {
                reason: {"count": len(names), "names": sorted(names)[:NAMES_SHOWN]}
                for reason, names in self.listing.omitted.items()
            },
            "native_sizes": dict(self.sizes),
            "frames": {
                "fewest": min(self.frames),
                "median": float(np.median(self.frames)),
                "most": max(self.frames),
            },
            "enlarged": self.enlarged,
        }


def ingest(source: Source, folder: Path, out: Path, params: Params) -> dict[str, Any]:
    """Turn a release into an image set with a report, whole or not at all.

    Of stills with a known patient at most `ingest.max_per_patient_view` of each patient and view are taken, of a video
    one random frame; recordings that `echosynth.images.colour` finds unusable are left out. The bytes written do not
    depend on the number of workers.

    Args:
        source: the adapter.
        folder: the release.
        out: the image set: images.zip, manifest.csv and report.json.
        params: sections data and ingest.

    Returns:
        The content of report.json: images, views (view -> count), left_out, omitted (reason -> count and up to 20
        names, as salted
        hashes like the ids in the manifest), native_sizes ("640x480" -> count), frames (fewest, median, most),
        enlarged.

    Raises:
        EchosynthError: the folder or a table is missing, more than `data.max_bad_share` of the files are unreadable,
        or a view of
            the source has no image.
    """
    listing = source.list_records(folder)
    records = listing.records if source.has_cines else _limit_per_patient(listing, folder, params.ingest)
    report = _Report(source, listing, folder, params)
    jobs = (
        joblib.delayed(_read_one)(
            record,
            source.has_cines,
            _seed(params.ingest.seed, source.name, _relative(record, folder)),
            params.ingest,
        )
        for record in records
    )
    outcomes = joblib.Parallel(n_jobs=params.ingest.workers or joblib.cpu_count(), return_as="generator")(jobs)

    def pictures() -> Iterator[tuple[dict[str, Any], Picture]]:
        for outcome in progress(outcomes, len(records), source.name, "files"):
            if outcome.picture is None:
                report.omit(outcome)
            else:
                yield report.row(outcome), outcome.picture
        report.check(len(records))

    write_image_stream(out, pictures(), lambda: {"report.json": report.content()})
    for reason, count in report.left_out().items():
        print(f"{source.name}: left out {count}, {reason}", file=sys.stderr)
    for error in report.errors[:NAMES_SHOWN]:
        print(f"{source.name}: {error}", file=sys.stderr)
    return report.content()
