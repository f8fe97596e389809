"""What an adapter is: it turns a release folder into records and counts what it leaves out. It never guesses."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from echosynth.common.errors import EchosynthError
from echosynth.common.files import ignored_input

GroupKind = Literal["patient", "study", "cine", "file"]
OfficialSplit = Literal["train", "validation", "test"]
Moment = Literal["ED", "ES"]
Unit = Literal["cine", "still", "cine or still"]


@dataclass(frozen=True)
class Record:
    """One picture to be: a still, or a cine from which frames will be chosen.

    Attributes:
        path: the media file.
        view: one of `echosynth.common.views.VIEWS`.
        group: key of the smallest unit that must not be divided between splits, in the clear; it never leaves this
        machine's memory.
        group_kind: what `group` stands for.
        moment: "ED" or "ES" where the file is the still of that moment, else "".
        official_split: the release's own split where there is one.
        marked: (moment, number of the frame from 0) where the release marks end diastole or end systole in a cine.
    """

    path: Path
    view: str
    group: str
    group_kind: GroupKind
    moment: Literal["", "ED", "ES"] = ""
    official_split: OfficialSplit | None = None
    marked: tuple[tuple[Moment, int], ...] = ()


@dataclass
class Listing:
    """All that an adapter found in a release folder.

    Attributes:
        records: in a fixed order (sorted by path).
        omitted: reason -> names of files or rows left out for it.
        notes: sentences about what was found odd but left nothing out, such as a missing table of splits.
    """

    records: list[Record] = field(default_factory=list)
    omitted: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def omit(self, reason: str, name: str) -> None:
        """Count `name` as left out because of `reason`."""
        self.omitted.setdefault(reason, []).append(name or "(no name)")


@dataclass(frozen=True)
class Source:
    """A release that the project can read.

    Attributes:
        name: its name in params.yaml and the name of its folder under data.root.
        title: its name for people.
        views: the views that it can contribute.
        unit: what its files are. Recordings of sources that hold cines pass the screening.
        group_kind: the finest group that it is known to give.
        layout: what is expected in its folder, a line a file or folder.
        licence: terms of use in a few words.
        citation: the paper to cite.
        complete: whether the release is known to hold all of `views`; one of them without an image then stops the
        ingest.
        list_records: reads a release folder. Raises EchosynthError when a table or folder is missing or has no usable
        row.
    """

    name: str
    title: str
    views: tuple[str, ...]
    unit: Unit
    group_kind: GroupKind
    layout: tuple[str, ...]
    licence: str
    citation: str
    list_records: Callable[[Path], Listing]
    complete: bool = True

    @property
    def has_cines(self) -> bool:
        """Whether its files are, or may be, cines."""
        return self.unit != "still"


def hashed(salt: str, *parts: str) -> str:
    """12 hex digits that stand for a file or patient and cannot be turned back without the salt."""
    return hashlib.blake2b("\0".join(parts).encode(), key=salt.encode()[:64], digest_size=6).hexdigest()


def record_id(salt: str, source: str, relative: str) -> str:
    """Stands for a file of a release in all outputs: names of some releases hold the patient's number.

    Args:
        salt: see `read_salt`.
        source: name of the release.
        relative: see `relative`.
    """
    return f"{source}-{hashed(salt, source, relative)}"


def relative(record: Record, folder: Path) -> str:
    """What names a picture within its release, the same on every machine."""
    return f"{record.path.relative_to(folder).as_posix()} {record.moment}".strip()


def salt_id(salt: str) -> str:
    """Eight letters from a to p that tell one secret from another, and nothing of a long one. No digits: what looks
    like a number would be one in YAML."""
    digest = hashlib.blake2b(salt.encode(), digest_size=4, person=b"echosynth salt").hexdigest()
    return digest.translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))


def read_salt(name: str, expected: str) -> str:
    """The secret for hashes. It lives in a file that git ignores, so that it is in no parameter list, page or run.

    Args:
        name: `data.salt_file`, looked up as `echosynth.common.files.ignored_input` does.
        expected: `data.salt_id`, on which stages depend in place of the secret: who does not have it runs all that
            reads no raw files.

    Raises:
        EchosynthError: the file is missing, empty or no text, or holds another secret.
    """
    path = ignored_input(name)
    try:
        salt = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        raise EchosynthError(f"data.salt_file: {name} is no text that can be read; write a long random one") from None
    if not salt:
        raise EchosynthError(
            f"data.salt_file: {name} is missing or empty; get it from a colleague, or write a long random text into it"
        )
    if salt_id(salt) != expected:
        raise EchosynthError(
            f"data.salt_id: {name} holds another secret than params.yaml says ({expected}): get the right one, or set "
            f"data.salt_id to {salt_id(salt)} and read all releases again"
        )
    return salt
