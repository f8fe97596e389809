"""`echosynth check`: what is in a folder before it is read."""

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from echosynth.cli.shared import FILE, aligned, json_option, print_json
from echosynth.config.parameters import Params, load_params
from echosynth.ingest.check import Check, check
from echosynth.sources.base import Source
from echosynth.sources.registry import find_source

NAMES_SHOWN = 5


def counts(numbers: Mapping[str, int]) -> str:
    """Write counts as text, such as "A2C 12, A4C 7"; "none" where there are none."""
    return ", ".join(f"{name} {count:,}" for name, count in numbers.items()) or "none"


def omitted_lines(omitted: Mapping[str, list[str]]) -> list[str]:
    """Write a line for each reason, with its count and the first names; the most frequent reason first."""
    rows = []
    for reason, names in sorted(omitted.items(), key=lambda item: -len(item[1])):
        more = ", ..." if len(names) > NAMES_SHOWN else ""
        rows.append((f"  {reason}", f"{len(names):,}", ", ".join(names[:NAMES_SHOWN]) + more))
    return aligned(rows) if rows else []


def print_found(source: Source, folder: Path, found: Check) -> None:
    """Print all that was found, for people."""
    print(f"{source.title} in {folder}: {found.records:,} usable")
    rows = [
        ("  views", counts(found.views)),
        ("  files", counts(found.files)),
        ("  groups", counts(found.groups)),
        ("  official split", counts(found.splits)),
    ]
    print("\n".join(aligned(rows)))
    count = sum(map(len, found.omitted.values()))
    print(f"left out: {count:,}" if count else "left out: nothing")
    print("\n".join(omitted_lines(found.omitted)), end="\n" if found.omitted else "")
    if found.missing:
        print(f"missing: no {', '.join(found.missing)}")
    for note in found.notes:
        print(f"note: {note}")


def print_taken(source: Source, found: Check, params: Params | None) -> None:
    """Print how much of it an ingest would take, and why not all."""
    if params is None or found.taken is None:
        print("no params.yaml here: run from the project's root to see how much of it an ingest takes")
        return
    if found.taken < found.records:
        why = params.ingest.limits
    elif source.has_cines:
        why = "less those that the screening drops"
    else:
        why = "all of them"
    print(f"an ingest would take {found.taken:,}, {why}")


def next_step(source: Source, folder: Path, params: Params | None) -> str:
    """Say what to do next with a folder that is fine."""
    name = source.name
    if params is None:
        return f"put the folder at data.root/{name} and name {name} in params.yaml (docs/data.md)"
    place = Path(params.data.root) / name
    if place.resolve() != folder.resolve():
        return f"put the folder at {place} (data.root in params.yaml; docs/data.md)"
    if name not in (*params.data.train_sources, *params.data.shift_sources):
        return f"name {name} in data.train_sources or data.shift_sources of params.yaml (docs/data.md)"
    shift = "-shift" if name in params.data.shift_sources else ""
    if source.has_cines and params.review.method != "none":
        return f"`dvc repro screen{shift}@{name}`, then `echosynth review {name}`"
    return f"`dvc repro ingest{shift}@{name}`"


@click.command()
@click.argument("name", metavar="SOURCE")
@click.argument("folder", type=FILE)
@json_option
def run(name: str, folder: Path, as_json: bool) -> int:
    """Look through a release folder without decoding a picture.

    Says what is there, what would be left out and why, and what is missing. SOURCE is the name of the release (see
    `echosynth sources`), FOLDER where it was unpacked. The exit status is 1 when `dvc repro` would stop at it.
    """
    source = find_source(name)
    params = load_params() if Path("params.yaml").is_file() else None
    found = check(source, folder, params)
    if as_json:
        print_json(found.as_json())
    else:
        print_found(source, folder, found)
        print_taken(source, found, params)
        if not found.stops:
            print(f"next: {next_step(source, folder, params)}")
    sys.stdout.flush()
    for sentence in found.stops:
        print(f"error: {source.name}: {sentence}", file=sys.stderr)
    return 1 if found.stops else 0
