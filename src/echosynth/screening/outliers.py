"""How well unusable recordings are found, where the truth is known: on phantoms."""

from pathlib import Path
from typing import Any, Final

import pandas as pd

from echosynth.common import paths
from echosynth.screening.decisions import Decisions, fates
from echosynth.screening.options import ReviewParams
from echosynth.sources.base import read_salt, record_id

OUTLIERS: Final = ("doppler", "split", "odd")


def phantom_truth(root: Path, source: str, salt_file: str, salt_id: str) -> "pd.Series[str] | None":
    """What is wrong with each recording of a phantom release.

    Args:
        root: data.root, which holds the table of the truth beside the releases when these are phantoms.
        source: name of the release.
        salt_file: see `echosynth.sources.base.read_salt`; not read for real recordings.
        salt_id: likewise.

    Returns:
        Kind (usable, tinted, doppler, split, odd) indexed by id; None when the truth is not known.
    """
    if not (root / paths.TRUTH).is_file():
        return None
    table = pd.read_csv(root / paths.TRUTH, dtype="str", na_filter=False)
    table, salt = table[table["source"] == source], read_salt(salt_file, salt_id)
    return pd.Series(
        table["kind"].to_numpy(), index=[record_id(salt, source, name) for name in table["file"]], dtype="str"
    )


def _score(found: "pd.Series[bool]", outlier: "pd.Series[bool]") -> dict[str, Any]:
    both, dropped, outliers = int((found & outlier).sum()), int(found.sum()), int(outlier.sum())
    return {
        "recall": both / outliers if outliers else None,
        "precision": both / dropped if dropped else None,
        "dropped": dropped,
        "outliers": outliers,
    }


def judge_proposals(
    truth: "pd.Series[str]",
    groups: pd.DataFrame,
    recordings: pd.DataFrame,
    decisions: Decisions,
    params: ReviewParams,
) -> dict[str, dict[str, Any]]:
    """Recall and precision of every way to find unusable recordings.

    Args:
        truth: from `phantom_truth`.
        groups: see `echosynth.imagesets.schema.GROUPS`.
        recordings: see `echosynth.imagesets.schema.RECORDINGS`; those without a truth are passed over.
        decisions: a person's.
        params: section review.

    Returns:
        Approach -> recall, precision (None where it divides by zero), dropped, outliers (counts). Approaches: grey
        (the threshold on the share of grey pixels), rule (the proposal for each recording alone), groups (the
        proposals for groups), decisions (what the ingest follows).
    """
    recordings = recordings[recordings["id"].isin(truth.index)]
    ids = recordings["id"]
    outlier = pd.Series(truth[ids].isin(OUTLIERS).to_numpy(), index=ids)
    bad = set(groups.loc[groups["proposal"] == "drop", "group"])
    approaches = {
        "grey": recordings["grey_share"] < params.grey_share,
        "rule": recordings["proposal"] != "",
        "groups": recordings["group"].isin(bad),
        "decisions": fates(groups, recordings, decisions, params) != "",
    }
    return {name: _score(pd.Series(found.to_numpy(), index=ids), outlier) for name, found in approaches.items()}
