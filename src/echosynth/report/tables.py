"""What a table of a page is, and the tables of image counts that the report and the data card share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from echosynth.common.views import VIEWS
from echosynth.report.formatting import count, share
from echosynth.sources.registry import find_source

SPLITS = ("train", "validation", "test")

Json = dict[str, Any]  # an object of a JSON file
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Table:
    """A table of a page; `macros.html` shows it.

    Attributes:
        caption: what it shows.
        header: names of the columns.
        rows: cells as text.
        labels: how many columns from the left are words, not numbers.
        note: what to know when reading it.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = 1
    note: str = ""


def release_title(source: str) -> str:
    """Give a release's name for people."""
    return find_source(source).title


def images_by_split_and_source(counts: Mapping[str, Counts], sources: Sequence[str]) -> Table:
    """Show the study's table 3.1.

    Args:
        counts: split -> source -> images.
        sources: names of the releases of the four-class set.
    """
    ordered = {split: counts[split] for split in SPLITS}
    caption = "Four-class set by split and source (images)"
    return with_sums(caption, "split", ordered, sources, map(release_title, sources))


def images_by_split_and_view(counts: Mapping[str, Counts]) -> Table:
    """Show the study's table 3.2, from split -> view -> images."""
    ordered = {split: counts[split] for split in SPLITS}
    return with_sums("Four-class set by split and view (images)", "split", ordered, VIEWS, VIEWS)


def training_subsets(counts: Mapping[str, Mapping[str, Any]], sources: Sequence[str]) -> Table:
    """Show the nested training subsets by view and source, the study's table 3.4.

    Args:
        counts: subset -> "images", "by_view" (view -> images) and "by_source" (source -> images).
        sources: names of the releases of the four-class set.
    """
    rows = []
    for name, subset in sorted(counts.items(), key=lambda item: int(item[1]["images"])):
        images = int(subset["images"])
        values = [*_values(subset["by_view"], VIEWS), *_values(subset["by_source"], sources)]
        rows.append([name, count(images), *(f"{count(value)} ({share(value, images)})" for value in values)])
    header = ["subset", "images", *VIEWS, *map(release_title, sources)]
    note = "Each subset is part of the next; shares of view and source (in brackets) are kept."
    return Table("Training subsets (images)", header, rows, note=note)


def with_sums(
    caption: str, corner: str, counts: Mapping[str, Counts], keys: Sequence[str], names: Iterable[str]
) -> Table:
    """Show counts with their sums and shares, on the right and below.

    Args:
        caption: what the table shows.
        corner: heading of the column of row names.
        counts: name of a row -> key -> count; a missing key counts 0.
        keys: the columns in their order.
        names: headings of the columns.
    """
    rows = {name: _values(by, keys) for name, by in counts.items()}
    below = [sum(column) for column in zip(*rows.values(), strict=True)]
    total = sum(below)
    cells = [
        [name, *map(count, values), count(sum(values)), share(sum(values), total)] for name, values in rows.items()
    ]
    cells.append(["all", *map(count, below), count(total), ""])
    cells.append(["share", *(share(value, total) for value in below), "", share(total, total)])
    return Table(caption, [corner, *names, "all", "share"], cells)


def _values(by: Counts, keys: Iterable[str]) -> list[int]:
    return [int(by.get(key, 0)) for key in keys]
