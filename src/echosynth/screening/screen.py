"""Screening: from the first frames of a release to groups of alike colours with a proposal for each.

Section 3.7.1 of the study. A person then decides in data/review/<source>.yaml, see `echosynth.screening.decisions`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.common.files import atomic_folder, write_json
from echosynth.common.parallel import run
from echosynth.common.progress import progress
from echosynth.imagesets.schema import GROUPS, RECORDINGS, check
from echosynth.media.apart import read_frame
from echosynth.media.options import DecodingParams
from echosynth.screening.colour import LEVELS
from echosynth.screening.contact_sheet import Tile, write_sheets
from echosynth.screening.decisions import flagged_in_kept
from echosynth.screening.first_look import Batch, Look, Measures, look_at_batch
from echosynth.screening.ks_groups import ks_groups, ks_statistic, p_value
from echosynth.screening.listing import write_listing
from echosynth.screening.options import ReviewParams, ScreeningSettings
from echosynth.sources.base import Source, read_salt, record_id, relative
from echosynth.sources.folders import folder_stamp

BATCH = 16  # files a job: the overhead of a job is that of a small file
MOST_TILES = 300
GREY = "grey"  # what a group without a reason is called

Founders = npt.NDArray[np.int64]


def _look_at_all(paths: list[Path], review: ReviewParams | None, params: ScreeningSettings, name: str) -> list[Look]:
    """Look at files in parallel; the result is in the order of `paths`."""
    found: dict[int, list[Look]] = {}
    starts = range(0, len(paths), BATCH)
    batches = [Batch(start, paths[start : start + BATCH], review, params.decoding) for start in starts]
    done = run(look_at_batch, batches, params.ingest)
    for start, looked in progress(done, len(batches), f"screen {name}", f"x {BATCH} files"):
        found[start] = looked
    return [one for start in sorted(found) for one in found[start]]


def _recordings(ids: list[str], measured: list[Measures], founders: Founders) -> pd.DataFrame:
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


def _tests(measured: list[Measures], founders: Founders) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
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


def _groups(ids: list[str], measured: list[Measures], founders: Founders) -> pd.DataFrame:
    """The table of groups, the largest first, of equal size in the order in which they were founded."""
    members: dict[int, list[Measures]] = defaultdict(list)
    for one, founder in zip(measured, founders, strict=True):
        members[int(founder)].append(one)
    rows = [_group(ids[founder], members[founder]) for founder in sorted(members)]
    table = pd.DataFrame(rows, columns=list(GROUPS.columns))
    return table.sort_values("size", ascending=False, kind="stable", ignore_index=True)


def _group(founder: str, members: list[Measures]) -> dict[str, Any]:
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


def _tiles(
    recordings: pd.DataFrame, groups: pd.DataFrame, paths: dict[str, Path], limits: DecodingParams
) -> Iterator[Tile]:
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
        yield Tile(read_frame(paths[row["group"]], limits).frames[0], row["proposal"], lines)
    number_of = dict(zip(numbered["group"], numbered["number"], strict=True))
    for row in flagged_in_kept(recordings, groups).head(MOST_TILES).to_dict("records"):
        lines = (f"one of group {number_of[row['group']]}", f"DROP {row['proposal']}", "recording", row["id"][-12:])
        yield Tile(read_frame(paths[row["id"]], limits).frames[0], "drop", lines)


def screen_release(source: Source, folder: Path, out: Path, params: ScreeningSettings) -> dict[str, Any]:
    """List the files of a release, look at the first frame of each, group the recordings and propose what to drop.

    Recordings are grouped by `echosynth.screening.ks_groups.ks_groups` in the order of the listing; a group is proposed
    to be dropped when the rule of `echosynth.screening.colour` flags at least half of its members. Memory is constant a
    file (256 counts). The bytes written do not depend on the number of workers.

    Args:
        source: the adapter; one without cines gives empty tables of recordings and groups, and no sheet.
        folder: the release.
        out: folder for files.csv, left_out.json (see `echosynth.screening.listing`), recordings.csv, groups.csv,
            metrics.json and contact sheets sheet.png, sheet-2.png, ...
        params: sections decoding, review and ingest, and data.salt_file. Without review.method `ks` each recording
            is alone, groups.csv is empty and there is no sheet.

    Returns:
        The content of metrics.json: recordings, unreadable (files of a source with cines), groups, method,
        groups_by_proposal ("keep: usable tint" -> groups), recordings_by_proposal (the rule's reason, "usable" without
        one -> recordings).

    Raises:
        EchosynthError: the release's folder or a table is missing, or the salt.
    """
    salt = read_salt(params.data.salt_file, params.data.salt_id)
    stamp = folder_stamp(folder)
    listing, review = source.list_records(folder), params.review if source.has_cines else None
    looked = _look_at_all([record.path for record in listing.records], review, params, source.name)
    measured: dict[str, Measures] = {}
    paths: dict[str, Path] = {}
    for record, (_, colours) in zip(listing.records, looked, strict=True):
        if colours:
            name = record_id(salt, source.name, relative(record, folder))
            measured[name], paths[name] = colours, record.path
    groups, recordings = _grouped(list(measured), list(measured.values()), params.review)
    metrics = {
        "recordings": len(recordings),
        "unreadable": len(listing.records) - len(recordings) if source.has_cines else 0,
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
        write_sheets(part, _tiles(recordings, groups, paths, params.decoding))
        write_json(part / "metrics.json", metrics)
        write_listing(part, source, folder, stamp, listing, [look for look, _ in looked], salt)
    return metrics


def _grouped(ids: list[str], measured: list[Measures], review: ReviewParams) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of groups and recordings."""
    if review.method == "ks" and measured:
        founders = ks_groups(np.stack([one.histogram for one in measured]), review.alpha)
        return _groups(ids, measured, founders), _recordings(ids, measured, founders)
    return _groups([], [], np.zeros(0, np.int64)), _recordings(ids, measured, np.arange(len(ids)))
