"""The views of thousands of files as a table on disk. A killed run goes on where it was, and ends with the same bytes.

Finished rows are kept in a file beside the table, one JSON object a line. Memory holds only where each of them lies.
"""

import csv
import fcntl
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any

from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_file, explained, fingerprint
from echosynth.common.progress import progress
from echosynth.common.resume import code_hash
from echosynth.common.views import VIEWS
from echosynth.media.options import LIMITS, DecodingParams
from echosynth.serving.clips import Named, predicted
from echosynth.serving.view_classifier import ViewClassifier

COLUMNS = ("file", "view", "frames", "chosen", "total", *VIEWS, "error")
DECIMALS = 6


@dataclass(frozen=True)
class Written:
    """What became of a table.

    Attributes:
        files: its rows.
        errors: rows of files that could not be read.
        resumed: rows that an earlier, killed run had finished.
    """

    files: int
    errors: int
    resumed: int


def write_table(
    classifier: ViewClassifier,
    model_md5: str,
    files: Sequence[Named],
    max_frames: int,
    out: Path,
    limits: DecodingParams = LIMITS,
) -> Written:
    """Name the view of each file in a CSV table.

    Args:
        classifier: a trained network with its preprocessing.
        model_md5: identifies it: rows of another model, number of frames or version of the code are not gone on with.
        files: cines and stills; a row each, in this order.
        max_frames: evenly spaced frames of a file, at most (1 or more).
        out: the table, with the columns `COLUMNS`; it takes the place of an older one when it is complete.
        limits: see `echosynth.serving.clips.predict_clip`.

    Raises:
        EchosynthError: the table cannot be written, or another run writes it.
    """
    if out.is_dir():
        raise EchosynthError(f"{out} is a folder; name a table such as {out / 'views.csv'}")
    if out.parent.exists() and not out.parent.is_dir():
        raise EchosynthError(f"{out.parent} is a file; name a table in a folder")
    key = fingerprint(model_md5, max_frames, limits.usable, code_hash(__name__))
    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        rows = _Rows(out.with_name(f"{out.name}.rows.part"))
        with rows.opened(key):
            identities = [_identity(file) for file in files]  # once: a file may change or go meanwhile
            todo = [pair for pair in zip(identities, files, strict=True) if pair[0] not in rows]
            done = len(files) - len(todo)
            for identity, file in progress(todo, len(files), "prediction", "files", start=done):
                rows.add(identity, predicted(classifier, file, max_frames, limits))
            errors = _write(out, (rows[identity] for identity in identities))
            rows.path.unlink(missing_ok=True)  # while it is held: another run may be about to take it
    return Written(len(files), errors, done)


class _Rows:
    """Rows in a file, each found by the identity of what it is about."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        self._stream: BufferedRandom

    @contextmanager
    def opened(self, key: str) -> Iterator[None]:
        """Hold the file open; rows under another key are forgotten."""
        self.path.touch()
        with self.path.open("r+b") as self._stream:
            try:
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EchosynthError(f"another run is writing {self.path}; wait for it or name another table") from None
            self._read(key)
            yield

    def _read(self, key: str) -> None:
        """Find the rows that can be gone on with, and cut off what a kill has torn."""
        whole = 0
        for line in self._stream:
            try:
                row = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                row = None
            if row is None or (whole == 0 and row != {"key": key}):
                break
            if whole and "error" not in row["row"]:  # what went wrong is tried again
                self._places[row["of"]] = whole
            whole += len(line)
        self._stream.seek(whole)
        self._stream.truncate()
        if not whole:
            self._append({"key": key})

    def _append(self, content: dict[str, Any]) -> int:
        place = self._stream.seek(0, 2)
        self._stream.write(json.dumps(content).encode() + b"\n")
        self._stream.flush()
        return place

    def __contains__(self, identity: str) -> bool:
        return identity in self._places

    def __getitem__(self, identity: str) -> dict[str, Any]:
        self._stream.seek(self._places[identity])
        row: dict[str, Any] = json.loads(self._stream.readline())["row"]
        return row

    def add(self, identity: str, row: dict[str, Any]) -> None:
        """Keep a row; a kill at any moment leaves it whole or not at all."""
        self._places[identity] = self._append({"of": identity, "row": row})


def _identity(file: Named) -> str:
    """Another one when the file has changed."""
    try:
        facts = file.path.stat()
        return fingerprint(str(file.path), file.name, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return fingerprint(str(file.path), file.name)


def _write(out: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write the table; returns how many rows tell of an error."""
    errors = 0
    # The name of a file may be no text at all.
    with atomic_file(out) as part, part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in rows:
            shares = [f"{row['probabilities'][view]:.{DECIMALS}f}" if "view" in row else "" for view in VIEWS]
            facts = [row.get(column, "") for column in ("file", "view", "frames", "chosen", "total")]
            table.writerow([*facts, *shares, row.get("error", "")])
            errors += "error" in row
    return errors
