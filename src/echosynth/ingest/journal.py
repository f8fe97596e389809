"""Finished batches of an ingest on disk, so that a killed one goes on where it was. Deleted on success.

Error texts hold file names in the clear: a journal never leaves this machine.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from echosynth.common.files import atomic_file
from echosynth.common.resume import ResumeState, code_hash
from echosynth.ingest.batches import unpack
from echosynth.ingest.frames import Reading

# Other decoders must not go on with old pictures, nor must other code.
DECODERS = ("av", "numpy", "opencv-python-headless", "pillow", "pydicom", "python-gdcm", "simpleitk")


class Journal(ResumeState):
    """The batches of one ingest by number.

    Args:
        key: what the pictures depend on beside the code and the decoders; anything that JSON can hold.
    """

    def __init__(self, *key: object) -> None:
        super().__init__("ingest", code_hash(__name__), [version(name) for name in DECODERS], *key)

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
