"""Decisions about versions: who, when, why, by which gates, from which version to which.

Each is kept three times: as a JSON file of the project, which git holds (`models/registry`), as a tag of the version,
which every clone that shares the store sees, and as an artifact of a run. Numbers of versions mean something in their
own store only; across stores a decision belongs to a model by the hash of its weights.
"""

import getpass
import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from echosynth.common import git
from echosynth.common.errors import EchosynthError
from echosynth.common.files import workspace, write_json
from echosynth.common.views import VIEWS
from echosynth.registry import versions as registry
from echosynth.registry.gates import Gate
from echosynth.tracking import store
from echosynth.tracking.history import blobs

FOLDER = Path("models/registry")
TAG = "decision."
COLUMNS = {"name", "when", "action", "version", "before", "after", "model_sha", "who", "why", "accepted", "failed"}
SHOWN = ("test.macro_auprc", "test.macro_f1", *(f"test.recall_{view}" for view in VIEWS))


@dataclass(frozen=True)
class Decision:
    """One decision.

    Attributes:
        action: what was asked for.
        accepted: whether it was done.
        version: the version that it is about.
        before: the champion until then; None when there was none.
        after: the champion from then on; None when there is none.
        model_sha: MD5 of the version's weights.
        who: name in git's configuration, or of the account.
        when: UTC, ISO 8601 with microseconds.
        why: in the person's words.
        gates: the table.
        scores: the numbers behind it.
        notes: what should be known besides.
    """

    action: Literal["promote", "rollback"]
    accepted: bool
    version: str
    before: str | None
    after: str | None
    model_sha: str
    who: str
    when: str
    why: str
    gates: list[Gate] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Name of its file and its tag."""
        return f"{re.sub('[-:]', '', self.when)}-{self.action}-{self.version}"

    @property
    def failed(self) -> list[str]:
        """Names of the gates that refused it."""
        return [gate.name for gate in self.gates if not gate.passed]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"name": registry.NAME, **asdict(self), "failed": self.failed}


def now() -> str:
    """The time of a decision."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def who() -> str:
    """Who decides: git's user.name, or the account, by its number where it has no name, as in some containers."""
    try:
        return git.text_or("", "config", "user.name") or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def reason(why: str) -> str:
    """Why, on one line.

    Raises:
        EchosynthError: it is empty.
    """
    words = why.split()
    if not words:
        raise EchosynthError("--reason is empty; say why, for the record")
    return " ".join(words)


def keep(decision: Decision) -> None:
    """Write the file and the tag.

    Raises:
        EchosynthError: one of them cannot be written; see `withdraw`.
    """
    content = decision.as_json()
    write_json(_file(decision), content)
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    with store.reported():
        store.client().set_model_version_tag(registry.NAME, decision.version, TAG + decision.key, text)


def withdraw(decision: Decision) -> None:
    """Take the file and the tag of a decision back that could not be carried out."""
    _file(decision).unlink(missing_ok=True)
    with store.reported():
        store.client().delete_model_version_tag(registry.NAME, decision.version, TAG + decision.key)


def summarise(decision: Decision) -> None:
    """Say in short tags, for people at the UI, what the last decision on a version was."""
    outcome = "accepted" if decision.accepted else f"refused by {', '.join(decision.failed)}"
    change = f"{decision.before or 'none'} -> {decision.after or 'none'}"
    tags = {"": f"{decision.action} {outcome}", ".who": decision.who, ".when": decision.when, ".why": decision.why}
    with store.reported():
        for key, text in (tags | {".champion": change}).items():
            store.client().set_model_version_tag(registry.NAME, decision.version, f"promotion{key}", text)


def history() -> dict[str, Any]:
    """What is registered and what was decided.

    Returns:
        versions: version, aliases, created (UTC), model_sha and the registered test scores, the newest first;
        decisions: see `Decision`, the oldest first: those that were made in this store;
        elsewhere: likewise, those that the project's files or git know besides: of other stores, whose numbers of
            versions are not this one's, and on versions that were deleted here. `held_as` lists the versions here with
            the same weights.

    Raises:
        EchosynthError: there is no registry, or a file of a decision is damaged.
    """
    store.require_existing()
    held = registry.versions()
    names: dict[str, list[str]] = {}
    for alias, version in registry.aliases().items():
        names.setdefault(version, []).append(alias)
    made_here = _by_key([json.loads(text) for one in held for key, text in one.tags.items() if key.startswith(TAG)])
    files = [_read(path) for path in sorted((workspace() / FOLDER).glob("*.json"))]
    known = _by_key([*_committed(), *files])  # a file that is there counts, not what it once was
    versions = [
        {
            "version": str(one.version),
            "aliases": sorted(names.get(str(one.version), [])),
            "created": datetime.fromtimestamp(one.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            "model_sha": one.tags.get(registry.SHA, ""),
            "scores": {key: float(one.tags[f"score.{key}"]) for key in SHOWN if f"score.{key}" in one.tags},
        }
        for one in held
    ]
    return {
        "versions": versions,
        "decisions": [dict(made_here[key]) for key in sorted(made_here)],
        "elsewhere": [
            dict(known[key])
            | {"held_as": [one["version"] for one in versions if one["model_sha"] == known[key]["model_sha"] != ""]}
            for key in sorted(known.keys() - made_here.keys())
        ],
    }


def _by_key(contents: list[Mapping[str, Any]]) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Decisions on this model by what tells one from another, sortable by time; of the same the last counts."""
    keys = ("when", "action", "version", "model_sha")
    return {tuple(one[key] for key in keys): one for one in contents if one["name"] == registry.NAME}


def _committed() -> list[Mapping[str, Any]]:
    """All decisions that were ever committed, the oldest first: `dvc exp apply` of an experiment from before a
    decision deletes its file, and the next commit takes that over.

    Where git does not answer, a line on stderr says why, and none is known.
    """
    try:
        # The history of a path leaves out branches that were merged without a trace, unless it is asked for in full.
        listed = git.text("rev-list", "--all", "--full-history", "--objects", "--", FOLDER.as_posix()).splitlines()
        texts = blobs(*(line.partition(" ")[0] for line in reversed(listed) if line.endswith(".json")))
    except EchosynthError as error:
        print(f"decisions that only git's history holds are not shown: {error}", file=sys.stderr)
        return []
    return [content for text in texts if (content := _parsed(text)) is not None]


def _parsed(text: bytes) -> Mapping[str, Any] | None:
    """A decision from the text of its file; None where it is none, as with the marks of a conflict in it."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) and content.keys() >= COLUMNS else None


def _read(path: Path) -> Mapping[str, Any]:
    """A decision that is kept as a file; nothing makes it anew, so that the advice of `read_json` would lose it."""
    content = None
    with suppress(OSError):
        content = _parsed(path.read_bytes())
    if content is None:
        raise EchosynthError(
            f"{path} holds no decision that can be read; bring it back with `git checkout -- {path}`, or move it away"
        )
    return content


def _file(decision: Decision) -> Path:
    return workspace() / FOLDER / f"{decision.key}.json"
