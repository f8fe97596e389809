"""Video validation: from the first frames of a release to groups of alike colours with a proposal for each.

Section 3.7.1 of the study. A person then decides in data/review/<source>.yaml, see `echosynth.images.review`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.config import Params, ReviewParams
from echosynth.errors import EchosynthError
from echosynth.files import atomic_folder, write_json
from echosynth.images.colour import coloured_share, grey_share, judge
from echosynth.images.decode import read_frame
from echosynth.images.kolmogorov import LEVELS, difference_histogram, ks_groups, ks_statistic, p_value
from echosynth.images.sheet import Tile, write_sheets
from echosynth.progress import progress
from echosynth.sources.base import Record, Source, read_salt, record_id

RECORDING_COLUMNS: Final = ("id", "group", "grey_share", "coloured_share", "proposal", "statistic", "p_value")
GROUP_COLUMNS: Final = ("group", "size", "colourfulness", "flagged", "proposal", "reason")
BATCH = 16  # files a job: the overhead of a job is that of a small file
MOST_TILES = 300


@dataclass(frozen=True)
class _Measured:
    """What is kept of a first frame: numbers whose size does not depend on the frame's."""

    histogram: npt.NDArray[np.uint32]
    grey_share: float
    coloured_share: float
    usable: bool
    reason: str


def _measure(path: Path, review: ReviewParams) -> _Measured | None:
    """Decode and measure one first frame; None when it is unreadable, which the ingest reports."""
    try:
        frame = read_frame(path).frames[0]
    except EchosynthError:
        return None
    verdict = judge(frame, review.coloured_share)
    return _Measured(
        difference_histogram(frame).astype(np.uint32),
        grey_share(frame, review.grey_difference),
        coloured_share(frame),
        verdict.usable,
        verdict.reason,
    )


def _measure_batch(paths: Sequence[Path], review: ReviewParams) -> list[_Measured | None]:
    return [_measure(path, review) for path in paths]


def _measure_all(paths: list[Path], params: Params, name: str) -> Iterator[_Measured | None]:
    """Measure in parallel, in the order of `paths`."""
    jobs = (
        joblib.delayed(_measure_batch)(paths[start : start + BATCH], params.review)
        for start in range(0, len(paths), BATCH)
    )
    workers = min(params.ingest.workers or joblib.cpu_count(), max(1, -(-len(paths) // BATCH)))
    batches = joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)
    yield from progress((one for batch in batches for one in batch), len(paths), f"validate {name}", "videos")


def _identity(source: Source, folder: Path, salt: str, record: Record) -> str:
    relative = f"{record.path.relative_to(folder).as_posix()} {record.moment}".strip()
    return record_id(salt, source.name, relative)


def _recordings(ids: list[str], measured: list[_Measured], founders: npt.NDArray[np.int64] | None) -> pd.DataFrame:
    """The table of recordings; without groups the columns of the test are empty."""
    table = pd.DataFrame(
        {
            "id": ids,
            "group": "",
            "grey_share": [round(one.grey_share, 6) for one in measured],
            "coloured_share": [round(one.coloured_share, 6) for one in measured],
            "proposal": ["" if one.usable else one.reason for one in measured],
            "statistic": np.nan,
            "p_value": np.nan,
        },
        columns=list(RECORDING_COLUMNS),
    )
    if founders is not None and len(ids):
        histograms = np.stack([one.histogram for one in measured])
        sizes = histograms.sum(axis=1, dtype=np.int64)
        table["group"] = [ids[founder] for founder in founders]
        # By group, so that the founders' histograms are not copied for each member.
        statistic = np.zeros(len(ids))
        for founder in np.unique(founders):
            members = founders == founder
            statistic[members] = ks_statistic(histograms[members], histograms[founder])
        table["statistic"] = statistic
        # Members of large groups share a few values, and the distribution function is slow.
        keys, inverse = np.unique(np.stack([statistic, sizes, sizes[founders]]), axis=1, return_inverse=True)
        table["p_value"] = p_value(*keys)[inverse.ravel()]
    return table


def _groups(recordings: pd.DataFrame, measured: list[_Measured], founders: npt.NDArray[np.int64]) -> pd.DataFrame:
    """The table of groups, the largest first, of equal size in the order in which they were founded."""
    rows = []
    for founder in np.unique(founders):
        members = [measured[index] for index in np.flatnonzero(founders == founder)]
        reasons = Counter(one.reason for one in members if not one.usable)
        flagged = reasons.total()
        drop = 2 * flagged >= len(members)
        histogram = measured[founder].histogram
        rows.append(
            {
                "group": recordings["id"][founder],
                "size": len(members),
                "colourfulness": round(float(np.average(np.arange(LEVELS), weights=histogram)), 3),
                "flagged": flagged,
                "proposal": "drop" if drop else "keep",
                "reason": reasons.most_common(1)[0][0] if drop else _remark(measured[founder]),
            }
        )
    table = pd.DataFrame(rows, columns=list(GROUP_COLUMNS))
    return table.sort_values("size", ascending=False, kind="stable", ignore_index=True)


def _remark(example: _Measured) -> str:
    return example.reason if example.usable else ""


def flagged_in_kept(recordings: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Recordings that the rule would drop although their group is proposed to be kept: grey split pictures hide in the
    group of all grey recordings, as their colours are alike.
    """
    kept = groups.loc[groups["proposal"] == "keep", "group"]
    return recordings[recordings["group"].isin(kept) & (recordings["proposal"] != "")]


def _tiles(recordings: pd.DataFrame, groups: pd.DataFrame, paths: dict[str, Path]) -> Iterator[Tile]:
    """Examples of the groups, then single recordings that the rule would drop from groups to be kept."""
    for number, row in enumerate(groups.head(MOST_TILES).itertuples(), start=1):
        lines = (
            f"{number}: {row.size} recording{'s' if row.size > 1 else ''}",
            f"{row.proposal.upper()} {row.reason}".strip(),
            f"colour {row.colourfulness:.1f}, flagged {row.flagged}",
            row.group[-12:],
        )
        yield Tile(read_frame(paths[row.group]).frames[0], row.proposal, lines)
    number_of = {group: number for number, group in enumerate(groups["group"], start=1)}
    single = flagged_in_kept(recordings, groups).head(MOST_TILES)
    for row in single.itertuples():
        lines = (f"one of group {number_of[row.group]}", f"DROP {row.proposal}", "recording", row.id[-12:])
        yield Tile(read_frame(paths[row.id]).frames[0], "drop", lines)


def validate(source: Source, folder: Path, out: Path, params: Params) -> dict[str, Any]:
    """Measure the first frame of each recording of a release, group them and propose what to drop.

    Recordings are grouped by `echosynth.images.kolmogorov.ks_groups` in the order of the listing; a group is proposed
    to be dropped when the rule of `echosynth.images.colour` flags at least half of its members. Unreadable files are
    left out here and counted; the ingest names them. Memory is constant a recording (256 counts). The bytes written do
    not depend on the number of workers.

    Args:
        source: the adapter; one without cines gives empty tables and no sheet.
        folder: the release.
        out: folder for recordings.csv, groups.csv, metrics.json and contact sheets sheet.png, sheet-2.png, ...
        params: sections review and ingest, and data.salt_file. Without review.method `ks` there are no groups and no
            sheet.

    Returns:
        The content of metrics.json: recordings, unreadable, groups, method, groups_by_proposal ("keep: usable tint" ->
        groups), recordings_by_proposal (the rule's reason, "usable" without one -> recordings).

    Raises:
        EchosynthError: the release's folder or a table is missing, or the salt.
    """
    salt = read_salt(Path(params.data.salt_file))
    records = source.list_records(folder).records if source.has_cines else []
    ids: list[str] = []
    measured: list[_Measured] = []
    paths: dict[str, Path] = {}
    for record, one in zip(
        records, _measure_all([record.path for record in records], params, source.name), strict=True
    ):
        if one is not None:
            ids.append(_identity(source, folder, salt, record))
            measured.append(one)
            paths[ids[-1]] = record.path
    groups = pd.DataFrame(columns=list(GROUP_COLUMNS))
    if params.review.method == "ks" and measured:
        founders = ks_groups(np.stack([one.histogram for one in measured]), params.review.alpha)
        recordings = _recordings(ids, measured, founders)
        groups = _groups(recordings, measured, founders)
    else:
        recordings = _recordings(ids, measured, None)
    metrics = {
        "recordings": len(recordings),
        "unreadable": len(records) - len(recordings),
        "groups": len(groups),
        "method": params.review.method,
        "groups_by_proposal": dict(Counter(f"{row.proposal}: {row.reason or 'grey'}" for row in groups.itertuples())),
        "recordings_by_proposal": dict(Counter(reason or "usable" for reason in recordings["proposal"])),
    }
    with atomic_folder(out) as part:
        recordings.to_csv(part / "recordings.csv", index=False, lineterminator="\n")
        groups.to_csv(part / "groups.csv", index=False, lineterminator="\n")
        write_sheets(part, _tiles(recordings, groups, paths))
        write_json(part / "metrics.json", metrics)
    return metrics
