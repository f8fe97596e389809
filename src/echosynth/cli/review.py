"""`echosynth review`: which groups of recordings are kept."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from echosynth import paths
from echosynth.config import load_params, read_yaml
from echosynth.errors import EchosynthError
from echosynth.files import atomic_file
from echosynth.sources.registry import find_source

EMPTY = "groups: {}\nrecordings: {}\n"


@dataclass(frozen=True)
class State:
    """How far a person is: groups with and without a decision, and decisions on what is not there any more."""

    decided: int
    undecided: int
    stale: int


def state(validation: Path, decisions: Path) -> State:
    """Compare the groups and recordings of a validation with the decisions on them."""
    groups = set(pd.read_csv(validation / "groups.csv", dtype=str)["group"])
    recordings = set(pd.read_csv(validation / "recordings.csv", dtype=str)["id"])
    content = read_yaml(decisions) or {}
    on_groups, on_recordings = content.get("groups") or {}, content.get("recordings") or {}
    decided = {group for group, word in on_groups.items() if word in ("keep", "drop")} & groups
    stale = (set(on_groups) - groups) | (set(on_recordings) - recordings)
    return State(len(decided), len(groups - decided), len(stale))


def run(arguments: argparse.Namespace) -> int:
    """Bring the decisions up to date and say what is left to do."""
    name, params = find_source(arguments.source).name, load_params()
    validation, decisions = paths.VALIDATION / name, paths.REVIEW / f"{name}.yaml"
    shift = "-shift" if name in params.data.shift_sources else ""
    if not decisions.is_file():
        with atomic_file(decisions) as part:
            part.write_text(EMPTY, encoding="utf-8")
        print(f"{decisions} was missing; it is there now, without a decision: put it under git")
    if not (validation / "groups.csv").is_file():
        raise EchosynthError(f"{validation} is missing; run `dvc repro validate{shift}@{name}` first")
    from echosynth.images.review import update_decisions

    update_decisions(validation, decisions, arguments.accept)
    found = state(validation, decisions)
    print(f"{name}: {found.decided} groups decided, {found.undecided} undecided, {found.stale} stale decisions")
    sheet = validation / "sheet.png"
    if sheet.is_file():
        print(f"contact sheet: {sheet}; table: {validation / 'groups.csv'}")
    if found.undecided:
        print(
            f"next: look at the sheet, write keep or drop in {decisions} (or take the proposals with --accept); "
            f"what stays undecided follows review.undecided = {params.review.undecided}"
        )
    else:
        print(f"next: commit {decisions} and run `dvc repro`")
    return 0
