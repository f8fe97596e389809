"""Writing so that nothing is ever half-written: beside the target first, then renamed."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from echosynth.common.errors import EchosynthError


def workspace() -> Path:
    """Folder that outlives every way of running the pipeline: DVC sets DVC_ROOT to the parent repository even when an
    experiment runs in a temporary copy that is deleted afterwards."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def ignored_input(name: str) -> Path:
    """A file that people put there and git ignores, such as a secret or somebody's weights: in the working directory,
    else in the workspace, as experiments run in copies of the tree that lack it. It need not be there."""
    here = Path(name)
    return here if here.is_file() else workspace() / here


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into one sentence that names `target`."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full; free some room",
            errno.EDQUOT: "the disk quota is used up; free some room",
            errno.EACCES: "no permission; choose a folder that you may write to or change its mode",
            errno.EPERM: "no permission; choose a folder that you may write to or change its mode",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.ENOTDIR: "a part of the path is a file; move that file away",
        }
        if error.errno not in reasons:
            raise
        raise EchosynthError(f"cannot write {target}: {reasons[error.errno]} and run again") from error


@contextmanager
def atomic_file(target: Path | str) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it takes the target's place when the block ends without an error."""
    target = Path(target)
    part = target.with_name(target.name + ".part")
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path | str) -> Iterator[Path]:
    """Yield an empty folder beside `target`; it takes the target's place when the block ends without an error.

    Raises:
        EchosynthError: it cannot be written, or is the working directory or above it.
    """
    target = Path(target)
    if Path.cwd().is_relative_to(target.resolve()):
        raise EchosynthError(f"{target} is the working directory or holds it; name a new folder")
    part, old = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.old.part")
    with explained(target):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            yield part
            if target.is_dir():
                shutil.rmtree(old, ignore_errors=True)
                target.replace(old)
            part.replace(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def check_replaceable(folder: Path, ours: Collection[str]) -> None:
    """Refuse a folder that a command would replace although it holds something else.

    Args:
        folder: it may be missing or empty.
        ours: names of the files in it that the command wrote.

    Raises:
        EchosynthError: it is a file or holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise EchosynthError(f"{folder} is a file; name a new folder")
    if folder.is_dir() and (others := sorted({path.name for path in folder.iterdir()} - set(ours))):
        raise EchosynthError(f"{folder} holds {others[0]}, which this command did not write; name a new folder")


def write_json(target: Path | str, content: Any) -> None:
    """Write `content` as JSON with sorted keys, the same bytes for the same content."""
    with atomic_file(target) as part:
        part.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        EchosynthError: the file is missing or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EchosynthError(f"{path} is no valid JSON ({error}); delete it and run `dvc repro`") from None


def fingerprint(*parts: Any) -> str:
    """16 hex digits that depend on the JSON form of `parts` alone."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_hash(path: Path | str) -> str:
    """MD5 of a file in hex, the hash that DVC uses, so that numbers here and there can be compared."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
