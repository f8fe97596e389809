"""A person's decisions on the groups of the screening: data/review/<source>.yaml, under version control."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import pandas as pd

from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_file
from echosynth.common.yaml12 import read_yaml
from echosynth.imagesets.schema import GROUPS, RECORDINGS, read_csv
from echosynth.screening.options import ReviewParams

Decision = Literal["keep", "drop"]
SECTIONS: Final = ("groups", "recordings")
LITTLE_GREY: Final = "too little grey"
BY_DECISION: Final = "dropped by decision"
UNDECIDED: Final = {
    "keep": "undecided: kept",
    "drop": "undecided: dropped",
    "stop": "undecided",
    "proposal": "proposal",
}
DECIDED: Final = re.compile(r"\s+(?P<id>[A-Za-z0-9_-]+):\s*(?:keep|drop)\s*#\s*(?P<note>.*\S)")
HEADER: Final = """\
# Which recordings of this source are used: keep or drop. The pipeline follows this file.
# An id is a salted hash. Under groups it stands for all recordings that are alike in colour to the one of this id, the
# example on the contact sheet; under recordings for this one alone, whatever its group.
# Lines that start with # are proposals without a decision; they follow review.undecided in params.yaml.
"""


@dataclass(frozen=True)
class Decisions:
    """What a person decided.

    Attributes:
        groups: id of the founder -> keep or drop.
        recordings: id -> keep or drop; counts more than the group's.
    """

    groups: Mapping[str, Decision]
    recordings: Mapping[str, Decision]

    def stale(self, recordings: pd.DataFrame) -> list[str]:
        """Ids of decisions on recordings, or groups of recordings, that are not there any more."""
        return sorted((set(self.groups) | set(self.recordings)) - set(recordings["id"]))


def read_decisions(path: Path) -> Decisions:
    """Read a decisions file.

    Raises:
        EchosynthError: it is missing, is no YAML, or holds another section or word.
    """
    if not path.is_file():
        raise EchosynthError(f"{path} is missing; `echosynth review {path.stem}` makes it")
    content = read_yaml(path) or {}
    if not isinstance(content, dict) or not set(content) <= set(SECTIONS):
        raise EchosynthError(f"{path} must hold the sections groups and recordings and nothing else; correct it")
    sections: dict[str, dict[str, Decision]] = {}
    for section in SECTIONS:
        found = content.get(section) or {}
        if not isinstance(found, dict):
            raise EchosynthError(f"{path}: {section} must hold lines such as `<id>: keep`; correct it")
        for name, word in found.items():
            if word not in get_args(Decision):
                raise EchosynthError(f"{path}: {section}: {name} is {word!r}; write keep or drop")
        sections[section] = {str(name): word for name, word in found.items()}
    return Decisions(**sections)


def read_tables(screening: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Groups and recordings of a screening, checked.

    Raises:
        EchosynthError: a table is missing or does not fit its schema.
    """
    return read_csv(screening / "groups.csv", GROUPS), read_csv(screening / "recordings.csv", RECORDINGS)


def _made(groups: pd.DataFrame, recordings: pd.DataFrame, decisions: Decisions) -> "pd.Series[Any]":
    """The decision on each group, NaN where there is none.

    A recording that comes or goes may give a group another founder. So where the founder's own id stands in no
    decision, those of the other members count if they agree; groups with different decisions that became one are
    undecided.
    """
    words = recordings["id"].map(decisions.groups)
    found = words[words.notna()].groupby(recordings["group"])
    agreed = found.min().where(found.min() == found.max())
    own = groups["group"].map(decisions.groups)
    return own.where(own.notna(), groups["group"].map(agreed))


def group_decisions(
    groups: pd.DataFrame, recordings: pd.DataFrame, decisions: Decisions, params: ReviewParams
) -> pd.DataFrame:
    """What happens to each group, and who says so.

    Returns:
        `groups` with the columns decision (keep or drop; with review.undecided `stop` the proposal where nobody has
        decided) and by (person, proposal, or how undecided ones are treated).
    """
    made = _made(groups, recordings, decisions)
    fallback = groups["proposal"] if params.undecided in ("proposal", "stop") else params.undecided
    return groups.assign(
        decision=made.where(made.notna(), fallback),
        by=["person" if known else UNDECIDED[params.undecided] for known in made.notna()],
    )


def _fate(row: Any, group: Any, decisions: Decisions) -> str:
    """Why a recording is left out; "" when it is kept."""
    alone = decisions.recordings.get(row.id)
    decision = alone or group.decision
    if alone is None and group.by == "proposal" and row.proposal:
        # Nobody has decided: the rule's word on this very recording counts beside that on its group.
        decision = "drop"
    if decision == "keep":
        return ""
    return row.proposal or (group.reason if group.proposal == "drop" else "") or BY_DECISION


def fates(
    groups: pd.DataFrame, recordings: pd.DataFrame, decisions: Decisions, params: ReviewParams
) -> "pd.Series[str]":
    """Why each recording is left out, "" when it is kept, indexed by id.

    A decision on a recording counts more than one on its group, and that more than `review.undecided`. With method
    `grey` a recording is kept when at least `review.grey_share` of its pixels are grey (approach (a) of section 3.7.1
    of the study); with `none` all are kept.
    """
    ids = recordings["id"].to_numpy()
    if params.method != "ks":
        little = (recordings["grey_share"] < params.grey_share) & (params.method == "grey")
        return pd.Series([LITTLE_GREY if found else "" for found in little], index=ids, dtype="str")
    by_group = {row.group: row for row in group_decisions(groups, recordings, decisions, params).itertuples()}
    reasons = [_fate(row, by_group[row.group], decisions) for row in recordings.itertuples()]
    return pd.Series(reasons, index=ids, dtype="str")


def verdicts(screening: Path, path: Path, params: ReviewParams) -> dict[str, str]:
    """What the screening and a person say of each recording.

    Args:
        screening: what `echosynth.screening.screen.screen_release` wrote.
        path: the decisions file.
        params: section review.

    Returns:
        Id -> why it is left out, "" when it is kept. Recordings whose first frame is unreadable are missing.

    Raises:
        EchosynthError: a table or the decisions file is missing or wrong, or a group is undecided and
        `review.undecided` is `stop`.
    """
    groups, recordings = read_tables(screening)
    decisions = read_decisions(path)
    open_groups = int((group_decisions(groups, recordings, decisions, params)["by"] != "person").sum())
    if params.method == "ks" and params.undecided == "stop" and open_groups:
        raise EchosynthError(
            f"{open_groups} groups of {path.stem} have no decision; look at {screening / 'sheet.png'}, run "
            f"`echosynth review {path.stem}`, write keep or drop in {path} and run again"
        )
    reasons = fates(groups, recordings, decisions, params)
    return {str(name): reason for name, reason in reasons.items()}


def flagged_in_kept(recordings: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Recordings that the rule would drop although their group is proposed to be kept: grey split pictures hide in the
    group of all grey recordings, as their colours are alike.
    """
    kept = groups.loc[groups["proposal"] == "keep", "group"]
    return recordings[recordings["group"].isin(kept) & (recordings["proposal"] != "")]


def start_decisions(path: Path) -> None:
    """Write a decisions file without a decision."""
    with atomic_file(path) as part:
        part.write_text(HEADER + "".join(f"{section}: {{}}\n" for section in SECTIONS), encoding="utf-8")


def _remark(group: dict[Hashable, Any]) -> str:
    several = "s" if group["size"] > 1 else ""
    what = f"{group['size']} recording{several}, colourfulness {group['colourfulness']:.1f}"
    return f"{what}, {group['reason']}" if group["reason"] else what


def _notes(path: Path) -> dict[str, str]:
    """What a person wrote behind decisions, by id."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = (DECIDED.match(line) for line in lines)
    return {match["id"]: match["note"] for match in found if match}


def _lines(
    decided: Mapping[str, Decision], proposals: Mapping[str, tuple[str, str]], notes: Mapping[str, str], accept: bool
) -> list[str]:
    """Lines of one section: what was decided, with its note, then what is open."""
    remarks = {name: why for name, (_, why) in proposals.items()} | dict(notes)
    lines = [
        f"  {name}: {word}" + (f"  # {remarks[name]}" if name in remarks else "") for name, word in decided.items()
    ]
    mark = "  " if accept else "  # "
    lines += [f"{mark}{name}: {word}  # {why}" for name, (word, why) in proposals.items() if name not in decided]
    return lines


def update_decisions(screening: Path, path: Path, accept: bool) -> None:
    """Add what has no decision yet to the decisions file, the largest groups first.

    Args:
        screening: what `echosynth.screening.screen.screen_release` wrote.
        path: the decisions file; made when it is missing. Its decisions and the notes behind them stay.
        accept: write the proposals as decisions, not as comments.

    Raises:
        EchosynthError: a table is missing or wrong, or the file cannot be read or written.
    """
    groups, recordings = read_tables(screening)
    decisions = read_decisions(path) if path.is_file() else Decisions({}, {})
    made = _made(groups, recordings, decisions)
    shown = groups[made.isna() | groups["group"].isin(list(decisions.groups))]
    of_groups = {str(group["group"]): (group["proposal"], _remark(group)) for group in shown.to_dict("records")}
    flagged = flagged_in_kept(recordings, groups)
    single = {str(name): ("drop", str(reason)) for name, reason in zip(flagged["id"], flagged["proposal"], strict=True)}
    text, notes = HEADER, _notes(path)
    for section, decided, proposals in (
        ("groups", decisions.groups, of_groups),
        ("recordings", decisions.recordings, single),
    ):
        lines = _lines(decided, proposals, notes, accept)
        text += "\n".join([f"{section}:", *lines]) + "\n" if lines else f"{section}: {{}}\n"
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")
