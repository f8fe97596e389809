"""Clock times of finished work, kept beside the outputs: the clock differs from run to run, and the same inputs must
give the same bytes.

A time is found by the bytes of the run record that it belongs to, so that it is never taken for that of other
parameters, data or results. What another machine made has none.
"""

from collections.abc import Mapping
from pathlib import Path

from echosynth.common.files import file_hash, read_json, workspace, write_json


def note(record: Path, speeds: Mapping[str, float]) -> None:
    """Keep what the clock said of the work of a record.

    Args:
        record: a run.json that is written.
        speeds: name -> number, such as seconds.

    Raises:
        EchosynthError: it cannot be written.
    """
    write_json(_file(record), dict(speeds))


def noted(record: Path) -> dict[str, float]:
    """What was kept of the work of a record; empty where nothing was."""
    file = _file(record)
    found: dict[str, float] = read_json(file) if file.is_file() else {}
    return found


def _file(record: Path) -> Path:
    return workspace() / ".cache" / "times" / f"{file_hash(record)}.json"
