"""What an adapter is: it turns a release folder into records and counts what it leaves out. It never guesses."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

GroupKind = Literal["patient", "study", "cine", "file"]
OfficialSplit = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Record:
    """One picture to be: a still, or a cine from which a frame will be chosen.

    Attributes:
        source: name of the release, such as "tmed2".
        path: the media file.
        view: one of `echosynth.views.VIEWS`.
        group: key of the smallest unit that must not be divided between splits, in the clear; it never leaves this
        machine's memory.
        group_kind: what `group` stands for.
        moment: "ED" or "ES" where the release says so, else "".
        official_split: the release's own split where there is one.
    """

    source: str
    path: Path
    view: str
    group: str
    group_kind: GroupKind
    moment: Literal["", "ED", "ES"] = ""
    official_split: OfficialSplit | None = None


@dataclass
class Listing:
    """All that an adapter found in a release folder.

    Attributes:
        records: in a fixed order (sorted by path).
        omitted: reason -> names of files or rows left out for it.
    """

    records: list[Record] = field(default_factory=list)
    omitted: dict[str, list[str]] = field(default_factory=dict)

    def omit(self, reason: str, name: str) -> None:
        """Count `name` as left out because of `reason`."""
        self.omitted.setdefault(reason, []).append(name)


@dataclass(frozen=True)
class Source:
    """A release that the project can read.

    Attributes:
        name: its name in params.yaml and the name of its folder under data.root.
        title: its name for people.
        views: the views that it contributes.
        is_video: whether its files are cines.
        licence: terms of use in a few words.
        citation: the paper to cite.
        list_records: reads a release folder. Raises EchosynthError when a table or folder is missing or has no usable
        row.
    """

    name: str
    title: str
    views: tuple[str, ...]
    is_video: bool
    licence: str
    citation: str
    list_records: Callable[[Path], Listing]


def hashed(salt: str, *parts: str) -> str:
    """12 hex digits that stand for a file or patient and cannot be turned back without the salt."""
    return hashlib.blake2b("\0".join(parts).encode(), key=salt.encode()[:64], digest_size=6).hexdigest()
