"""`echosynth sources`: the releases that can be read."""

from collections.abc import Sequence
from typing import Any

import click

from echosynth.cli.shared import aligned, json_option, print_json
from echosynth.sources.base import Source
from echosynth.sources.registry import all_sources, find_source


def described(source: Source) -> dict[str, Any]:
    """Describe a release by plain values, for JSON."""
    return {
        "name": source.name,
        "title": source.title,
        "views": list(source.views),
        "complete": source.complete,
        "unit": source.unit,
        "group_kind": source.group_kind,
        "layout": list(source.layout),
        "licence": source.licence,
        "citation": source.citation,
    }


def print_list(sources: Sequence[Source]) -> None:
    """Print a line for each release."""
    heading = ("name", "title", "views", "files", "group", "licence")
    rows = [(s.name, s.title, " ".join(s.views), s.unit, s.group_kind, s.licence) for s in sources]
    print("\n".join(aligned([heading, *rows])))
    print("\nMore about one: echosynth sources NAME. Look through a folder: echosynth check NAME FOLDER")


def print_details(source: Source) -> None:
    """Print all that is known of one release."""
    print(f"{source.name}: {source.title}")
    views = " ".join(source.views) + ("" if source.complete else " (those that the folder holds)")
    rows = [
        ("views", views),
        ("files", source.unit),
        ("group", f"{source.group_kind} (never divided between splits)"),
        ("licence", source.licence),
        ("citation", source.citation),
    ]
    print("\n".join(aligned(rows)))
    print("expected in its folder")
    print("\n".join(f"  {line}" for line in source.layout))


@click.command()
@click.argument("name", required=False)
@json_option
def run(name: str | None, as_json: bool) -> int:
    """List the releases that can be read; with NAME, show the layout that one is expected to have, and its citation."""
    if name:
        source = find_source(name)
        if as_json:
            print_json(described(source))
        else:
            print_details(source)
    elif as_json:
        print_json([described(source) for source in all_sources()])
    else:
        print_list(all_sources())
    return 0
