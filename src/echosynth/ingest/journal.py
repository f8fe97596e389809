"""Finished batches of an ingest on disk, so that a killed one goes on where it was. Deleted on success.

It lies under the workspace's `.resume` folder and outside DVC's outputs, and holds file names in the clear in its error
texts: it never leaves this machine.
"""

import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from echosynth.common.files import atomic_file, fingerprint, workspace
from echosynth.common.resume import code_hash
from echosynth.ingest.frames import Reading, Taken

# Other decoders must not go on with old pictures, nor must other code.
DECODERS = ("numpy", "opencv-python-headless", "pillow", "pydicom", "python-gdcm", "simpleitk")
ROWS = "rows.json"
FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def pack(readings: Iterable[Reading]) -> bytes:
    """A batch as the bytes of a ZIP: rows.json and the pictures as stored PNGs."""
    buffer = io.BytesIO()
    rows = []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for place, reading in enumerate(readings):
            row = asdict(reading)
            for number, picture in enumerate(row["taken"]):
                archive.writestr(zipfile.ZipInfo(f"{place}-{number}.png", FIXED_DATE), picture.pop("png"))
            rows.append(row)
        archive.writestr(zipfile.ZipInfo(ROWS, FIXED_DATE), json.dumps(rows))
    return buffer.getvalue()


def unpack(data: bytes) -> list[Reading]:
    """What `pack` packed.

    Raises:
        ValueError: the bytes are damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [
                Reading(
                    **row
                    | {
                        "taken": tuple(
                            Taken(**picture, png=archive.read(f"{place}-{number}.png"))
                            for number, picture in enumerate(row["taken"])
                        )
                    }
                )
                for place, row in enumerate(json.loads(archive.read(ROWS)))
            ]
    except (zipfile.BadZipFile, KeyError, TypeError, EOFError, NotImplementedError) as error:
        raise ValueError(str(error)) from error


class Journal:
    """The batches of one ingest by number.

    The folder's name holds a fingerprint of everything that the pictures depend on: other parameters, files or code
    never meet, and temporary and queued experiments of DVC find it again.

    Args:
        key: what the pictures depend on beside the code; anything that JSON can hold.
    """

    def __init__(self, *key: object) -> None:
        decoders = [version(name) for name in DECODERS]
        self.folder = workspace() / ".resume" / f"ingest-{fingerprint(code_hash(__name__), decoders, *key)}"

    def held(self) -> FileLock:
        """A lock for the whole ingest: a second one of the same files waits for it."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder.with_suffix(".lock"))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.zip"

    def write(self, number: int, data: bytes) -> None:
        """Keep a batch; a kill at any moment leaves it whole or not at all."""
        with atomic_file(self._path(number)) as part:
            part.write_bytes(data)

    def read(self, number: int) -> list[Reading]:
        """A batch.

        Raises:
            OSError: it is not there.
            ValueError: it is damaged.
        """
        return unpack(self._path(number).read_bytes())

    def missing(self, sizes: Sequence[int]) -> list[int]:
        """Numbers of the batches that are not there, or damaged, or not of the expected size."""

        def whole(number: int) -> bool:
            try:
                return len(self.read(number)) == sizes[number]
            except (OSError, ValueError):
                return False

        return [number for number in range(len(sizes)) if not whole(number)]

    def clear(self) -> None:
        """Forget the batches: the work is done."""
        shutil.rmtree(self.folder, ignore_errors=True)
