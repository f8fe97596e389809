"""The tables of the data: the study's 3.1 to 3.4 and what was left out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from echosynth.common.views import VIEWS
from echosynth.report.study.tables import SPLITS, Table, title
from echosynth.report.words import count

Counts = Mapping[str, int]


def share(part: int, whole: int) -> str:
    """A part of a whole in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _values(by: Counts, keys: Iterable[str]) -> list[int]:
    return [int(by.get(key, 0)) for key in keys]


def _with_sums(caption: str, corner: str, counts: Mapping[str, Counts], keys: Sequence[str], names: Any) -> Table:
    """Rows of counts with their sums and shares, on the right and below."""
    rows = {name: _values(by, keys) for name, by in counts.items()}
    below = [sum(column) for column in zip(*rows.values(), strict=True)]
    total = sum(below)
    cells = [
        [name, *map(count, values), count(sum(values)), share(sum(values), total)] for name, values in rows.items()
    ]
    cells.append(["all", *map(count, below), count(total), ""])
    cells.append(["share", *(share(value, total) for value in below), "", share(total, total)])
    return Table(caption, [corner, *names, "all", "share"], cells)


def by_source(counts: Mapping[str, Counts], sources: Sequence[str]) -> Table:
    """Split x source, the study's table 3.1.

    Args:
        counts: split -> source -> images.
        sources: names of the releases of the four-class set.
    """
    ordered = {split: counts[split] for split in SPLITS}
    caption = "Four-class set by split and source (images)"
    return _with_sums(caption, "split", ordered, sources, map(title, sources))


def by_view(counts: Mapping[str, Counts]) -> Table:
    """Split x view, the study's table 3.2, from split -> view -> images."""
    ordered = {split: counts[split] for split in SPLITS}
    return _with_sums("Four-class set by split and view (images)", "split", ordered, VIEWS, VIEWS)


def shift_sets(counts: Mapping[str, Counts]) -> Table:
    """Source x view of the domain shift, the study's table 3.3, from source -> view -> images."""
    named = {title(source): views for source, views in counts.items()}
    return _with_sums("Domain-shift sets by source and view (images)", "source", named, VIEWS, VIEWS)


def subsets(counts: Mapping[str, Mapping[str, Any]], sources: Sequence[str]) -> Table:
    """Nested training subsets by view and source, the study's table 3.4.

    Args:
        counts: subset -> "images", "by_view" (view -> images) and "by_source" (source -> images).
        sources: names of the releases of the four-class set.
    """
    rows = []
    for name, subset in sorted(counts.items(), key=lambda item: int(item[1]["images"])):
        images = int(subset["images"])
        values = [*_values(subset["by_view"], VIEWS), *_values(subset["by_source"], sources)]
        rows.append([name, count(images), *(f"{count(value)} ({share(value, images)})" for value in values)])
    note = "Each subset is part of the next; shares of view and source (in brackets) are kept."
    return Table("Training subsets (images)", ["subset", "images", *VIEWS, *map(title, sources)], rows, note=note)


def left_out(counts: Mapping[str, Counts]) -> Table:
    """What ingest left out, from source -> reason -> files or rows."""
    rows = [
        [title(source), reason, count(number)]
        for source, reasons in counts.items()
        for reason, number in sorted(reasons.items())
    ]
    note = "The first of each are listed in report.json beside the image set." if rows else "Nothing was left out."
    return Table("Left out by ingest (files or rows)", ["source", "reason", "count"], rows, labels=2, note=note)
