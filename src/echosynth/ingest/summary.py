"""What an ingest found, counted on the way: rows of the manifest, the report, and whether a release can be trusted."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from echosynth.common.errors import EchosynthError
from echosynth.ingest.frames import Reading, Taken
from echosynth.ingest.options import IngestParams, IngestSettings
from echosynth.ingest.rules import bad_files, missing_views, too_many_bad
from echosynth.sources.base import Listing, Record, Source, hashed, record_id, relative
from echosynth.sources.tables import ROW_WITHOUT_FILE

NAMES_SHOWN = 20
UNREADABLE = "unreadable"


def selection(source: Source, params: IngestParams) -> str:
    """How pictures were chosen, in words."""
    if not source.has_cines:
        return f"stills, {params.limits} where patients are known"
    return {
        "random": "one random frame of each cine",
        "spaced": f"{params.frames_per_cine} evenly spaced frames of each cine",
        "dissimilar": "the frames of each cine least similar to its others (score below its 0.25 quantile)",
        "marked": "the frames marked as end diastole and end systole, one random frame where none is marked",
    }[params.frames]


class Account:
    """Counts pictures and what was left out.

    Args:
        source: the adapter.
        listing: what it found; grows by what is left out later.
        folder: the release.
        params: sections data and ingest.
        salt: secret for the hashes.
    """

    def __init__(self, source: Source, listing: Listing, folder: Path, params: IngestSettings, salt: str) -> None:
        self.source, self.listing, self.folder, self.params, self.salt = source, listing, folder, params, salt
        self.views, self.sizes, self.kinds, self.frames = (Counter[Any]() for _ in range(4))
        self.groups: set[str] = set()
        self.enlarged = self.squared = self.marks_lost = self.flat = self.lost = 0
        self.errors: dict[str, str] = {}  # file -> sentence
        self.screening: dict[str, Any] = {}

    def row(self, record: Record, reading: Reading, taken: Taken) -> dict[str, Any]:
        """Count a picture and return its row of the manifest."""
        group = hashed(self.salt, self.source.name, record.group)
        ingest = self.params.ingest
        name = record_id(self.salt, self.source.name, relative(record, self.folder))
        chosen = ingest.frames != "random" if self.source.has_cines else bool(record.marked)
        several = chosen and reading.frames > 1
        self.views[record.view] += 1
        self.sizes[f"{reading.width}x{reading.height}"] += 1
        self.kinds[record.group_kind] += 1
        self.groups.add(group)
        self.enlarged += reading.enlarged
        self.squared += reading.squared
        return {
            "id": f"{name}-{taken.frame:04d}" if several else name,
            "source": self.source.name,
            "view": record.view,
            "group": group,
            "group_kind": record.group_kind,
            "official_split": record.official_split or "",
            "moment": taken.moment,
            "frame": taken.frame,
            "frames": reading.frames,
            "width": reading.width,
            "height": reading.height,
            "pixels": taken.pixels,
            "synthetic": False,
        }

    def file(self, record: Record, reading: Reading) -> None:
        """Count a file."""
        self.marks_lost += reading.marks_lost
        self.flat += reading.flat
        self.lost += reading.lost
        if reading.taken:
            self.frames[reading.frames] += 1
            return
        self.refuse(record, reading.error)

    def refuse(self, record: Record, error: str) -> None:
        """Count a file that cannot be used because of `error`."""
        name = relative(record, self.folder)
        self.listing.omit(UNREADABLE, name)
        self.errors[name] = error

    def check(self, attempted: int) -> None:
        """Raise EchosynthError when the release cannot be trusted.

        Args:
            attempted: files that were opened or should have been.
        """
        bad, total = bad_files(self.listing, len(self.errors), attempted)
        if problem := too_many_bad(bad, total, self.params.data.max_bad_share):
            first = next(iter(self.errors.values()), "")
            if not first:
                first = f"{self.listing.omitted[ROW_WITHOUT_FILE][0]} is in a table, but there is no such file"
            raise EchosynthError(f"{self.source.name}: {problem}; the first: {first}")
        images, most = self.views.total(), self.params.data.max_bad_share
        if self.flat > most * images:
            raise EchosynthError(
                f"{self.source.name}: {self.flat} of {images} images are of one grey level, more than "
                f"data.max_bad_share = {most} allows; look how the files in {self.folder} hold their grey levels"
            )
        if missing := missing_views(self.source, self.views):
            raise EchosynthError(
                f"{self.source.name}: no image of {', '.join(missing)} is left in {self.folder}; "
                f"left out were {self._counts() or 'none'}"
            )

    def _counts(self) -> dict[str, int]:
        return {reason: len(names) for reason, names in sorted(self.listing.omitted.items())}

    def notes(self) -> list[str]:
        """What was odd but left nothing out."""
        notes = list(self.listing.notes)
        if self.flat:
            notes.append(f"{self.flat} images are of one grey level")
        if self.marks_lost:
            notes.append(
                f"{self.marks_lost} marks of end diastole or end systole were passed over: they lie outside of their "
                "file or call one frame both"
            )
        if self.lost:
            notes.append(f"{self.lost} damaged frames of otherwise usable files were passed over")
        if self.squared:
            notes.append(f"the pixels of {self.squared} images were not square and were made so")
        return notes

    def content(self) -> dict[str, Any]:
        """The report as JSON; see `echosynth.ingest.image_set.ingest`."""
        counts = sorted(self.frames.items())
        frames = np.repeat([number for number, _ in counts], [files for _, files in counts])
        # Names of some releases hold the patient's number.
        hashes = {
            reason: sorted(record_id(self.salt, self.source.name, name) for name in names)[:NAMES_SHOWN]
            for reason, names in self.listing.omitted.items()
        }
        return {
            "source": self.source.name,
            "images": self.views.total(),
            "views": {view: self.views[view] for view in self.source.views},
            "left_out": sum(self._counts().values()),
            "omitted": {reason: {"count": n, "names": hashes[reason]} for reason, n in self._counts().items()},
            "notes": self.notes(),
            "native_sizes": dict(self.sizes),
            "frame_counts": {str(number): files for number, files in counts},
            "frames": {"fewest": int(frames[0]), "median": float(np.median(frames)), "most": int(frames[-1])},
            "enlarged": self.enlarged,
            "squared": self.squared,
            "group_kinds": dict(self.kinds),
            "groups": len(self.groups),
            "selection": selection(self.source, self.params.ingest),
            "validation": self.screening,
        }

    def names(self) -> pd.DataFrame:
        """Everything that was left out, by reason and name in the clear, with the error of each unreadable file."""
        omitted = sorted(self.listing.omitted.items())
        rows = [(reason, name, self.errors.get(name, "")) for reason, names in omitted for name in sorted(names)]
        return pd.DataFrame(rows, columns=["reason", "name", "error"])

    def lines(self) -> list[str]:
        """What a person at the terminal should know. Logs keep it, so it names no file: names may be of patients."""
        lines = []
        lines += [f"left out {number}, {reason}" for reason, number in self._counts().items()]
        if self.enlarged:
            lines.append(
                f"{self.enlarged} of {self.views.total()} images are smaller than ingest.size = "
                f"{self.params.ingest.size} and were enlarged"
            )
        return [f"{self.source.name}: {line}" for line in (*lines, *self.notes())]
