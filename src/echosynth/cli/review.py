"""`echosynth review`: which groups of recordings are kept."""

from dataclasses import dataclass
from pathlib import Path

import click

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import load_params
from echosynth.screening.options import ReviewParams
from echosynth.sources.registry import find_source


@dataclass(frozen=True)
class Progress:
    """How far a person is: groups with and without a decision, and decisions on what is not there any more."""

    decided: int
    undecided: int
    stale: int


def progress(screening: Path, decisions: Path, params: ReviewParams) -> Progress:
    """Compare the groups and recordings of a screening with the decisions on them."""
    from echosynth.screening.decisions import group_decisions, read_decisions, read_tables

    groups, recordings = read_tables(screening)
    made = read_decisions(decisions)
    decided = int((group_decisions(groups, recordings, made, params)["by"] == "person").sum())
    return Progress(decided, len(groups) - decided, len(made.stale(recordings)))


@click.command()
@click.argument("source")
@click.option("--accept", is_flag=True, help="Take the computed proposal for every undecided group.")
def run(source: str, accept: bool) -> int:
    """Add new groups of the screening to data/review/SOURCE.yaml, for you to decide on.

    SOURCE is the name of the release, see `echosynth sources`.
    """
    from echosynth.screening.decisions import start_decisions, update_decisions

    name, params = find_source(source).name, load_params()
    screening, decisions = paths.SCREENING / name, paths.REVIEW / f"{name}.yaml"
    shift = "-shift" if name in params.data.shift_sources else ""
    if not decisions.is_file():
        start_decisions(decisions)
        print(f"{decisions} was missing; it is there now, without a decision: put it under git")
    if not (screening / "groups.csv").is_file():
        raise EchosynthError(f"{screening} is missing; run `dvc repro screen{shift}@{name}` first")
    update_decisions(screening, decisions, accept)
    found = progress(screening, decisions, params.review)
    print(f"{name}: {found.decided} groups decided, {found.undecided} undecided, {found.stale} stale decisions")
    sheet = screening / "sheet.png"
    if sheet.is_file():
        print(f"contact sheet: {sheet}; table: {screening / 'groups.csv'}")
    if found.undecided:
        print(
            f"next: look at the sheet, write keep or drop in {decisions} (or take the proposals with --accept); "
            f"what stays undecided follows review.undecided = {params.review.undecided}"
        )
    else:
        print(f"next: commit {decisions} and run `dvc repro`")
    return 0
