"""Video validation: from the first frames of a release to groups of alike colours with a proposal for each.

Section 3.7.1 of the study. A person then decides in data/review/<source>.yaml, see `echosynth.screening.decisions`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_folder, write_json
from echosynth.common.parallel import run
from echosynth.common.progress import progress
from echosynth.imagesets.schema import GROUPS, RECORDINGS, check
from echosynth.media.decode import read_frame
from echosynth.screening.colour import coloured_share, grey_share, judge
from echosynth.screening.contact_sheet import Tile, write_sheets
from echosynth.screening.ks_groups import LEVELS, difference_histogram, ks_groups, ks_statistic, p_value
from echosynth.screening.options import ReviewParams, Settings
from echosynth.sources.base import Source, read_salt, record_id, relative

BATCH = 16  # files a job: the overhead of a job is that of a small file
MOST_TILES = 300
GREY = "grey"  # what a group without a reason is called

Founders = npt.NDArray[np.int64]


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


@dataclass(frozen=True)
class _Batch:
    """Files that a process measures in one go; `start` is the number of the first."""

    start: int
    paths: list[Path]
    review: ReviewParams


def _measure_batch(batch: _Batch) -> tuple[int, list[_Measured | None]]:
    return batch.start, [_measure(path, batch.review) for path in batch.paths]


def _measure_all(paths: list[Path], params: Settings, name: str) -> list[_Measured | None]:
    """Measure in parallel; the result is in the order of `paths`."""
    found: list[_Measured | None] = [None] * len(paths)
    batches = [_Batch(start, paths[start : start + BATCH], params.review) for start in range(0, len(paths), BATCH)]
    done = progress(run(_measure_batch, batches, params.ingest), len(batches), f"validate {name}", f"x {BATCH} videos")
    for start, measured in done:
        found[start : start + len(measured)] = measured
    return found


def _recordings(ids: list[str], measured: list[_Measured], founders: Founders) -> pd.DataFrame:
    """The table of recordings."""
    statistic, p_values = _tests(measured, founders)
    return pd.DataFrame(
        {
            "id": ids,
            "group": [ids[founder] for founder in founders],
            "grey_share": [round(one.grey_share, 6) for one in measured],
            "coloured_share": [round(one.coloured_share, 6) for one in measured],
            "proposal": ["" if one.usable else one.reason for one in measured],
            "statistic": statistic,
            "p_value": p_values,
        }
    )


def _tests(measured: list[_Measured], founders: Founders) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Statistic and p-value of each recording against its founder."""
    statistic = np.array(
        [
            0.0 if founder == number else float(ks_statistic(one.histogram, measured[founder].histogram))
            for number, (one, founder) in enumerate(zip(measured, founders, strict=True))
        ]
    )
    sizes = np.array([one.histogram.sum(dtype=np.int64) for one in measured], np.int64)
    # Members of large groups share a few values, and the distribution function is slow.
    keys, place = np.unique(np.stack([statistic, sizes, sizes[founders]]), axis=1, return_inverse=True)
    return statistic, p_value(*keys)[place.ravel()]


def _groups(ids: list[str], measured: list[_Measured], founders: Founders) -> pd.DataFrame:
    """The table of groups, the largest first, of equal size in the order in which they were founded."""
    members: dict[int, list[_Measured]] = defaultdict(list)
    for one, founder in zip(measured, founders, strict=True):
        members[int(founder)].append(one)
    rows = [_group(ids[founder], members[founder]) for founder in sorted(members)]
    table = pd.DataFrame(rows, columns=list(GROUPS.columns))
    return table.sort_values("size", ascending=False, kind="stable", ignore_index=True)


def _group(founder: str, members: list[_Measured]) -> dict[str, Any]:
    """The row of one group; the first member is the founder and the example."""
    reasons = Counter(one.reason for one in members if not one.usable)
    flagged, example = reasons.total(), members[0]
    drop = 2 * flagged >= len(members)
    remark = example.reason if example.usable else ""
    return {
        "group": founder,
        "size": len(members),
        "colourfulness": round(float(np.average(np.arange(LEVELS), weights=example.histogram)), 3),
        "flagged": flagged,
        "proposal": "drop" if drop else "keep",
        "reason": reasons.most_common(1)[0][0] if drop else remark,
    }


def flagged_in_kept(recordings: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Recordings that the rule would drop although their group is proposed to be kept: grey split pictures hide in the
    group of all grey recordings, as their colours are alike.
    """
    kept = groups.loc[groups["proposal"] == "keep", "group"]
    return recordings[recordings["group"].isin(kept) & (recordings["proposal"] != "")]


def _tiles(recordings: pd.DataFrame, groups: pd.DataFrame, paths: dict[str, Path]) -> Iterator[Tile]:
    """Examples of the groups, then single recordings that the rule would drop from groups to be kept."""
    numbered = groups.assign(number=range(1, len(groups) + 1))
    # Large frames differ significantly by little: where there are thousands of groups, the small ones that are to be
    # dropped are worth a look, the other small ones are not.
    shown = numbered[(numbered["number"] <= MOST_TILES) | (numbered["proposal"] == "drop")]
    for row in shown.head(2 * MOST_TILES).to_dict("records"):
        lines = (
            f"{row['number']}: {row['size']} recording{'s' if row['size'] > 1 else ''}",
            f"{row['proposal'].upper()} {row['reason'] or GREY}",
            f"colour {row['colourfulness']:.1f}, flagged {row['flagged']}",
            row["group"][-12:],
        )
        yield Tile(read_frame(paths[row["group"]]).frames[0], row["proposal"], lines)
    number_of = dict(zip(numbered["group"], numbered["number"], strict=True))
    for row in flagged_in_kept(recordings, groups).head(MOST_TILES).to_dict("records"):
        lines = (f"one of group {number_of[row['group']]}", f"DROP {row['proposal']}", "recording", row["id"][-12:])
        yield Tile(read_frame(paths[row["id"]]).frames[0], "drop", lines)


def validate(source: Source, folder: Path, out: Path, params: Settings) -> dict[str, Any]:
    """Measure the first frame of each recording of a release, group them and propose what to drop.

    Recordings are grouped by `echosynth.screening.ks_groups.ks_groups` in the order of the listing; a group is proposed
    to be dropped when the rule of `echosynth.screening.colour` flags at least half of its members. Unreadable files are
    left out here and counted; the ingest names them. Memory is constant a recording (256 counts). The bytes written do
    not depend on the number of workers.

    Args:
        source: the adapter; one without cines gives empty tables and no sheet.
        folder: the release.
        out: folder for recordings.csv, groups.csv, metrics.json and contact sheets sheet.png, sheet-2.png, ...
        params: sections review and ingest, and data.salt_file. Without review.method `ks` each recording
            is alone, groups.csv is empty and there is no sheet.

    Returns:
        The content of metrics.json: recordings, unreadable, groups, method, groups_by_proposal ("keep: usable tint" ->
        groups), recordings_by_proposal (the rule's reason, "usable" without one -> recordings).

    Raises:
        EchosynthError: the release's folder or a table is missing, or the salt.
    """
    salt = read_salt(Path(params.data.salt_file))
    records = source.list_records(folder).records if source.has_cines else []
    found = _measure_all([record.path for record in records], params, source.name)
    readable = [(record, one) for record, one in zip(records, found, strict=True) if one is not None]
    ids = [record_id(salt, source.name, relative(record, folder)) for record, _ in readable]
    measured = [one for _, one in readable]
    paths = {name: record.path for name, (record, _) in zip(ids, readable, strict=True)}
    if params.review.method == "ks" and measured:
        founders = ks_groups(np.stack([one.histogram for one in measured]), params.review.alpha)
        groups = _groups(ids, measured, founders)
    else:
        founders, groups = np.arange(len(ids)), _groups([], [], np.zeros(0, np.int64))
    recordings = _recordings(ids, measured, founders)
    metrics = {
        "recordings": len(recordings),
        "unreadable": len(records) - len(recordings),
        "groups": len(groups),
        "method": params.review.method,
        "groups_by_proposal": dict(
            Counter(
                f"{word}: {reason or GREY}" for word, reason in zip(groups["proposal"], groups["reason"], strict=True)
            )
        ),
        "recordings_by_proposal": dict(Counter(reason or "usable" for reason in recordings["proposal"])),
    }
    with atomic_folder(out) as part:
        for name, schema, table in (("recordings.csv", RECORDINGS, recordings), ("groups.csv", GROUPS, groups)):
            check(schema, table, str(out / name)).to_csv(part / name, index=False, lineterminator="\n")
        write_sheets(part, _tiles(recordings, groups, paths))
        write_json(part / "metrics.json", metrics)
    return metrics
