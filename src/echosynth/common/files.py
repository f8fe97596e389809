"""Writing so that nothing is ever half-written: beside the target first, then renamed."""

import errno
import hashlib
import json
import os
import re
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


FULL = {
    errno.ENOSPC: "the disk is full; free some room",
    errno.EDQUOT: "the disk quota is used up; free some room",
}
REASONS = FULL | {
    errno.EACCES: "no permission; choose a folder that you may write to or change its mode",
    errno.EPERM: "no permission; choose a folder that you may write to or change its mode",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of the path is a file; move that file away",
}
NUMBERED = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")  # Rust's libraries, and what another process says
UNNUMBERED = re.compile("No space left on device|database or disk is full|[0-9]+ requested and [0-9]+ written")


@contextmanager
def explained(target: Path | str) -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into one sentence that names `target`."""
    try:
        yield
    except EchosynthError:
        raise
    except Exception as error:
        if reason := REASONS.get(_number(error)) or full_disk(error):
            raise EchosynthError(f"cannot write {target}: {reason} and run again") from error
        raise


@contextmanager
def full_disk_explained() -> Iterator[None]:
    """Turn a full disk into the same sentence where nobody nearer to the file has: a net round commands and stages."""
    try:
        yield
    except EchosynthError:
        raise
    except Exception as error:
        if reason := full_disk(error):
            named = getattr(error, "filename2", None) or getattr(error, "filename", None)  # of a copy, the second
            place = named or f"in {Path.cwd()}, in {os.environ.get('TMPDIR', '/tmp')} or what is printed"
            raise EchosynthError(f"cannot write {place}: {reason} and run again") from error
        raise


def full_disk(error: BaseException | None) -> str:
    """Say what is full and what to do, where an error or what is behind it comes from a full disk, whatever a library
    made of it: SQLite, safetensors, NumPy and other processes have words of their own. Else empty."""
    while error is not None:
        if reason := FULL.get(_number(error)):
            return reason
        error = error.__cause__ or error.__context__
    return ""


def _number(error: BaseException) -> int:
    """The system's number of an error, 0 where it is not known."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if found := NUMBERED.search(str(error)):
        return int(found[1] or found[2])
    return errno.ENOSPC if UNNUMBERED.search(str(error)) else 0


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
