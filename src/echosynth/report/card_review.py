"""What the data card says about the video validation of one source."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from echosynth import paths
from echosynth.config import Params, read_yaml
from echosynth.files import read_json
from echosynth.images.schema import GROUPS, read_csv

UNDECIDED = {"keep": "undecided: kept", "drop": "undecided: dropped", "stop": "undecided", "proposal": "proposal"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Review:
    """The validation of one source.

    Attributes:
        groups: the columns of `echosynth.images.schema.GROUPS`, number (from 1, as on the contact sheet), decision
        (keep or drop) and by (person, proposal, or what was done with undecided ones).
        recordings: how many were looked at.
        single: decision -> recordings about which a person decided apart from their group.
        sheets: the contact sheets in their order.
    """

    groups: pd.DataFrame
    recordings: int
    single: dict[str, int]
    sheets: list[Path]


def read_review(source: str, params: Params) -> Review:
    """Read the validation of a source and the decisions about its groups and recordings.

    Raises:
        EchosynthError: naming the first file that is missing or damaged.
    """
    folder = paths.VALIDATION / source
    groups = read_csv(folder / "groups.csv", GROUPS)
    decisions = read_yaml(paths.REVIEW / f"{source}.yaml") or {}
    single = Counter((decisions.get("recordings") or {}).values())
    undecided = params.review.undecided
    fallback = groups["proposal"] if undecided in ("proposal", "stop") else undecided
    further = sorted(folder.glob("sheet-*.png"), key=lambda path: (len(path.name), path.name))
    made = groups["group"].map(decisions.get("groups") or {})
    return Review(
        groups=groups.assign(
            number=range(1, len(groups) + 1),
            decision=made.fillna(fallback) if isinstance(fallback, pd.Series) else made.fillna(str(fallback)),
            by=["person" if known else UNDECIDED[undecided] for known in made.notna()],
        ),
        recordings=int(read_json(folder / "metrics.json")["recordings"]),
        single={value: single[value] for value in ("drop", "keep")},
        sheets=[folder / "sheet.png", *further] if (folder / "sheet.png").is_file() else [],
    )


def decisions(groups: pd.DataFrame) -> list[Json]:
    """Groups and recordings by decision, who made it, and reason of the proposal; dropped ones first."""
    keys = ["decision", "by", "proposal", "reason"]
    summed = groups.groupby(keys, sort=True).agg(groups=("size", "size"), recordings=("size", "sum")).reset_index()
    return [
        {key: row[key] for key in keys} | {"groups": int(row["groups"]), "recordings": int(row["recordings"])}
        for row in summed.to_dict("records")
    ]
