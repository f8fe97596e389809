"""The list of a packaged classifier's files with their SHA-256: the card, the weights, the code and MLflow's own.

It is written when a classifier is logged, into its package, and its own SHA-256 becomes a tag of the version in the
registry. Whoever has the tag notices every file that was changed, added or removed. Whoever has the package alone
notices damage, but not an edit that wrote the list anew.
"""

import hashlib
import json
from pathlib import Path
from typing import NoReturn

from echosynth.common.errors import EchosynthError
from echosynth.common.files import write_json

MANIFEST = "manifest.json"  # in the folder of the package
PACKAGE_SHA = "package_sha"  # tag of a version: SHA-256 of its manifest
REGISTERED_AS = "registered_model_meta"  # name and version, which MLflow writes where it takes a package from
BYTECODE = "__pycache__"  # Python writes there when a package is run from where it lies


def write_manifest(package: Path) -> str:
    """Write the list of all files of a package into it.

    Args:
        package: folder in MLflow's model format.

    Returns:
        SHA-256 of the list, in hex.
    """
    write_json(package / MANIFEST, _hashes(package))
    return _sha256(package / MANIFEST)


def check_package(package: Path, which: str, registered: str | None = None) -> None:
    """Check that a package holds the files of its list, all of them and no others.

    Bytecode in `__pycache__` folders and MLflow's file `registered_model_meta` are in no list.

    Args:
        package: folder in MLflow's model format.
        which: what to call it in a message.
        registered: SHA-256 of its list as the registry has it. Without it the list is believed, and a package without
            a list, such as one that an earlier version of this project wrote, passes.

    Raises:
        EchosynthError: a file was changed, added or removed; the message names the first one.
    """
    manifest = package / MANIFEST
    if registered is None and not manifest.is_file():
        return
    if not manifest.is_file():
        _refuse(which, MANIFEST, "is missing")
    if registered is not None and _sha256(manifest) != registered:
        _refuse(which, MANIFEST, "is not the one that was registered")
    try:
        listed = json.loads(manifest.read_bytes())
    except ValueError:
        listed = None
    if not isinstance(listed, dict):
        _refuse(which, MANIFEST, "is no list of files")
    found = _hashes(package)
    for file in sorted(listed.keys() | found.keys()):
        if file not in found:
            _refuse(which, file, "is missing")
        if file not in listed:
            _refuse(which, file, "was added after it was registered")
        if listed[file] != found[file]:
            _refuse(which, file, "is not the one that was registered")


def _refuse(which: str, file: str, what: str) -> NoReturn:
    raise EchosynthError(
        f"{which} is damaged: its file {file} {what}; delete the version and register its model anew with "
        "`echosynth register`, or restore the file in the MLflow store"
    )


def _hashes(package: Path) -> dict[str, str]:
    """Path within the package -> SHA-256. A link to a folder, into which `rglob` does not look, counts as a file."""
    files = {path.relative_to(package): path for path in package.rglob("*") if path.is_symlink() or not path.is_dir()}
    return {
        file.as_posix(): _sha256(path) if path.is_file() else ""
        for file, path in files.items()
        if BYTECODE not in file.parts and file.as_posix() not in (MANIFEST, REGISTERED_AS)
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
