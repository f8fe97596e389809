"""The DVC cache of this machine: contents of files and folders by the hashes that dvc.lock names."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from echosynth.common.errors import EchosynthError


class NotCachedError(Exception):
    """The DVC cache of this machine lacks a file."""


class Cache:
    """The DVC cache of this machine.

    Attributes:
        remote: whether DVC knows a remote, from which what is missing may come.

    Raises:
        EchosynthError: the working directory is in no DVC project.
    """

    def __init__(self) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            with Repo(".") as repo:
                self._path: Callable[[str], str] = repo.cache.local.oid_to_path
                self.remote = bool(repo.config["remote"])
        except DvcException as error:
            raise EchosynthError(f"the DVC cache cannot be found ({error}); run from the project's root") from None

    def file(self, md5: str) -> Path:
        """Where the content of a file is.

        Raises:
            NotCachedError: it is not here.
        """
        path = Path(self._path(md5))
        if not path.is_file():
            raise NotCachedError
        return path

    def folder(self, md5: str) -> "Folder":
        """A folder.

        Raises:
            NotCachedError: its listing is not here.
        """
        entries = json.loads(self.file(md5).read_bytes())
        return Folder(self, {entry["relpath"]: entry["md5"] for entry in entries})


@dataclass(frozen=True)
class Folder:
    """A folder in the cache.

    Attributes:
        cache: where.
        hashes: path in the folder -> MD5.
    """

    cache: Cache
    hashes: dict[str, str]

    def file(self, name: str) -> Path:
        """Where the content of a file is.

        Raises:
            NotCachedError: it is not here.
            KeyError: the folder has no such file.
        """
        return self.cache.file(self.hashes[name])
