"""Read what the data card says about the screening of one source's recordings."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from echosynth.common import paths
from echosynth.config.parameters import Params
from echosynth.report.tables import Json
from echosynth.screening.decisions import group_decisions, read_decisions, read_tables
from echosynth.screening.outliers import judge_proposals, phantom_truth


@dataclass(frozen=True)
class Review:
    """The screening of one source's recordings, with the decisions of persons.

    Attributes:
        groups: the columns of `echosynth.imagesets.schema.GROUPS`, number (from 1, as on the contact sheet), decision
        (keep or drop) and by (person, proposal, or what was done with undecided ones).
        recordings: how many were looked at.
        single: decision -> recordings about which a person decided apart from their group.
        on_phantoms: see `echosynth.screening.outliers.judge_proposals`; None for real recordings, whose truth nobody
        knows.
        sheets: the contact sheets in their order.
    """

    groups: pd.DataFrame
    recordings: int
    single: dict[str, int]
    on_phantoms: Json | None
    sheets: list[Path]


def read_review(source: str, params: Params) -> Review:
    """Read the screening of a source and the decisions about its groups and recordings.

    Raises:
        EchosynthError: naming the first file that is missing or damaged.
    """
    folder = paths.SCREENING / source
    groups, recordings = read_tables(folder)
    decisions = read_decisions(paths.REVIEW / f"{source}.yaml")
    single = Counter(word for name, word in decisions.recordings.items() if name in set(recordings["id"]))
    further = sorted(folder.glob("sheet-*.png"), key=lambda path: (len(path.name), path.name))
    truth = phantom_truth(Path(params.data.root), source, params.data.salt_file, params.data.salt_id)
    return Review(
        groups=group_decisions(groups, recordings, decisions, params.review).assign(number=range(1, len(groups) + 1)),
        recordings=len(recordings),
        single={value: single[value] for value in ("drop", "keep")},
        on_phantoms=None if truth is None else judge_proposals(truth, groups, recordings, decisions, params.review),
        sheets=[folder / "sheet.png", *further] if (folder / "sheet.png").is_file() else [],
    )


def decisions(groups: pd.DataFrame) -> list[Json]:
    """Count groups and recordings by decision, who made it, and reason of the proposal; dropped ones first."""
    keys = ["decision", "by", "proposal", "reason"]
    summed = groups.groupby(keys, sort=True).agg(groups=("size", "size"), recordings=("size", "sum")).reset_index()
    return [
        {key: row[key] for key in keys} | {"groups": int(row["groups"]), "recordings": int(row["recordings"])}
        for row in summed.to_dict("records")
    ]
