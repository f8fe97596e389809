"""States of long work that survive a kill: saved whole, found again by fingerprint, deleted on success."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from echosynth.common.files import atomic_file, atomic_folder, explained, fingerprint, workspace
from echosynth.common.imports import module_file, reached_files

if TYPE_CHECKING:  # torch takes a second, which an ingest, whose journal is a state too, does not spend
    import torch


def code_hash(*modules: str) -> str:
    """Hash of the source of some modules, such as "echosynth.diffusion.train", with all that they import of the
    package: other code must not go on with an old state.

    Raises:
        ModuleNotFoundError: the package has no such module.
    """
    files: set[Path] = set()
    for name in modules:
        start = module_file(name)
        if start is None:
            raise ModuleNotFoundError(f"{name} is no module of the package")
        files |= reached_files(start)
    return fingerprint([file.read_text(encoding="utf-8") for file in sorted(files)])


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; where another process holds it, wait and say so.

    Raises:
        EchosynthError: it cannot be written.
    """
    lock = FileLock(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another run that does the same work ({path})", file=sys.stderr, flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


class ResumeState:
    """A resumable state on disk, under the workspace's `.resume` folder and outside DVC's outputs.

    The folder's name holds a fingerprint of everything that the result depends on: different parameters, inputs or
    code never meet, and temporary and queued experiments of DVC find it again (the workspace is the parent repository).

    Args:
        kind: short name, such as "diffusion".
        key: what the result depends on; anything that JSON can hold.
    """

    def __init__(self, kind: str, *key: object) -> None:
        self.folder = workspace() / ".resume" / f"{kind}-{fingerprint(*key)}"
        self.path = self.folder / "state.safetensors"
        self.previous = self.folder / "previous.safetensors"

    def held(self) -> AbstractContextManager[None]:
        """Hold a lock for the whole work; see `alone`. A second experiment that needs the same result waits for it."""
        return alone(self.folder.with_suffix(".lock"))

    def save(self, tensors: "dict[str, torch.Tensor]", facts: dict[str, object]) -> None:
        """Replace the state by this one, and keep the one before; a kill at any moment leaves one of them whole."""
        from echosynth.common.weights import save_weights

        with atomic_file(self.path) as part:
            save_weights(tensors, part, {"facts": json.dumps(facts)})
            with part.open("rb") as stream:
                os.fsync(stream.fileno())  # after a power cut a renamed file may hold zeros
            if self.path.is_file():
                self.path.replace(self.previous)

    def load(self) -> "tuple[dict[str, torch.Tensor], dict[str, object]] | None":
        """Read the last saved tensors and facts; None when there is nothing to go on from.

        A torn state (a power cut, a disk that was full) is named on stderr, and the one before it is used.
        """
        for path in (self.path, self.previous):
            if path.is_file():
                try:
                    with safe_open(path, framework="pt") as stored:
                        facts = json.loads((stored.metadata() or {})["facts"])
                        return {name: stored.get_tensor(name) for name in stored.keys()}, facts  # noqa: SIM118  (no mapping)
                except (SafetensorError, OSError, KeyError, ValueError) as error:
                    reason = " ".join(str(error).split())
                    other = "the state before it is used" if path == self.path else "the work begins anew"
                    print(f"{path} is torn ({reason}); {other}", file=sys.stderr)
                    path.unlink(missing_ok=True)  # else the next save would put it in the place of the whole one
        return None

    @contextmanager
    def part(self, name: Path | str) -> Iterator[Path]:
        """Yield an empty folder for a part of the work; when the block ends without an error it is `folder / name`,
        whole and on the disk.

        Raises:
            EchosynthError: it cannot be written.
        """
        with atomic_folder(self.folder / name) as part:
            yield part
            for file in part.iterdir():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())  # after a power cut a renamed file may hold zeros

    def clear(self) -> None:
        """Forget the state: the work is done. All of it at once, as after a kill half of it would count as whole."""
        gone = self.folder.with_name(f"{self.folder.name}.part")
        shutil.rmtree(gone, ignore_errors=True)
        with suppress(FileNotFoundError):  # nothing was saved
            self.folder.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)
