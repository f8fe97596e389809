"""Which results git and DVC know: those of commits and of DVC experiments. Nothing here needs MLflow."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from echosynth.common import git
from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import Loader
from echosynth.config.parameters import flat_tree

PARAMS, SCORES, LOCK = "params.yaml", "reports/metrics.json", "dvc.lock"
ABSENT = "absent"  # the branch of SCORES that says in words which scores there are not, and why
EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38,62})/([^/]+)")  # DVC's other references are its queue's
# Stages of dvc.lock before one of them was called as it is today.
MOVED, RENAMED = ("phantom", "echo", "validate", "validate-shift"), "feature-network"


@dataclass(frozen=True)
class Result:
    """Where a result is.

    Attributes:
        revision: the commit that holds it.
        experiment: DVC's name of the experiment; empty for a commit.
        baseline: the commit that was checked out when the pipeline ran: an experiment's baseline, a commit's parent.
        seconds: when it was committed, since 1970.
        params: git's object of params.yaml; empty where there is none. Likewise scores, of reports/metrics.json, and
            lock, of dvc.lock.
        lock_before: dvc.lock of the result that this one builds on; empty for the first one.
    """

    revision: str
    experiment: str
    baseline: str
    seconds: int
    params: str
    scores: str
    lock: str
    lock_before: str

    @property
    def name(self) -> str:
        """Name of its row, as the pipeline gives it."""
        return self.experiment or f"repro {self.baseline[:7]}"

    def __str__(self) -> str:
        return f"{self.experiment or 'commit'} {self.revision[:7]}"


@dataclass(frozen=True)
class Content:
    """What a result is.

    Attributes:
        params: params.yaml as it is read; not checked, because older ones need not fit today's parameters.
        scores: reports/metrics.json as it is read.
        scores_bytes: that file itself; likewise lock_bytes (empty where there is no dvc.lock).
    """

    params: dict[str, Any]
    scores: dict[str, Any]
    scores_bytes: bytes
    lock_bytes: bytes

    @property
    def lock_hash(self) -> str:
        """MD5 of dvc.lock, empty where there is none."""
        return _md5(self.lock_bytes) if self.lock_bytes else ""

    @cached_property
    def stages(self) -> dict[str, Any]:
        """The stages of dvc.lock, see `stages`."""
        return stages(self.lock_bytes)

    @cached_property
    def outs(self) -> dict[str, str]:
        """Path -> MD5 of all that dvc.lock says was written."""
        return outs(self.stages)

    def belongs(self) -> bool:
        """Whether dvc.lock says that these scores come from these parameters.

        Parameters can be changed, and experiments run in part, without a new report. So the stage that wrote the scores
        and those that it depends on must have run with these parameters, and must have read what the others wrote.
        Of a matrix dvc.lock keeps stages that no parameter asks for any more; they are passed over, and what they are
        run with stands among the parameters of those that gather their outputs. So are stages that had another name
        or pipeline once, since DVC drops none. A dvc.lock that does not say which
        stage writes the scores is believed; where there is none, nothing is known of the scores.
        """
        if not self.lock_bytes:
            return False
        written = {(path, md5) for stage in self.stages.values() for path, md5 in entries(stage, "outs").items()}
        paths = {path for path, _ in written}
        if SCORES in paths and (SCORES, _md5(self.scores_bytes)) not in written:
            return False
        kept = {name: stage for name, stage in self.stages.items() if not _moved(name, self.stages)}
        for stage in _above(kept, SCORES):
            params = stage.get("params", {}).get(PARAMS, {})
            if any(_at(self.params, key) != value for key, value in params.items()):
                return False
            if any(path in paths and (path, md5) not in written for path, md5 in entries(stage, "deps").items()):
                return False
        return True


def results() -> list[Result]:
    """All results in the history of HEAD, the local branches and the experiments, the oldest first.

    A commit holds a result when it changes params.yaml or reports/metrics.json, and dvc.lock, against each of its
    parents. What is not committed is not known.

    Raises:
        EchosynthError: the working directory is in no git repository, or git is missing.
    """
    starts, experiments = _references()
    commits = _commits(starts)
    files = _files([commit for commit, _, _ in commits])
    found: list[Result] = []
    last: dict[str, str] = {}  # commit -> dvc.lock of the latest result up to it
    for commit, seconds, parents in commits:
        params, scores, lock = files[commit]
        before = last.get(parents[0], "") if parents else ""
        fresh = bool(scores)
        for parent in parents:
            *pair, old = files[parent]
            fresh &= [params, scores] != pair and (lock != old or not lock)
        if fresh:
            name, baseline = experiments.get(commit, ("", parents[0] if parents else commit))
            found.append(Result(commit, name, baseline, seconds, params, scores, lock, before))
        last[commit] = lock if fresh else before
    # Where a commit takes an experiment over, the experiment is what was run.
    return sorted(found, key=lambda result: (result.seconds, not result.experiment))


def experiments(name: str = "*") -> list[tuple[str, str, str]]:
    """List DVC's experiments that have a result: name, the commit that it started from, its own commit.

    Args:
        name: of those that are wanted; `*` for all.

    Raises:
        EchosynthError: the working directory is in no git repository, or git is missing.
    """
    lines = git.text("for-each-ref", "--format=%(objectname) %(refname)", f"refs/exps/*/*/{name}").splitlines()
    named = [
        (commit, EXPERIMENT.fullmatch(reference)) for commit, _, reference in (line.partition(" ") for line in lines)
    ]
    return [(match[3], match[1] + match[2], commit) for commit, match in named if match]


def read(result: Result) -> Content:
    """Read a result.

    Raises:
        EchosynthError: a file of it is missing or torn.
    """
    params, scores, lock = blobs(result.params, result.scores, result.lock)
    return Content(_mapping(PARAMS, params), _mapping(SCORES, scores), scores, lock)


def scores_of(commit: str) -> dict[str, float]:
    """Final scores of a commit, such as an experiment's, as "branch.leaf" -> number.

    Empty where it has none, they are torn, or they are those of other parameters: an experiment that was run in part
    holds the scores of its baseline.

    Raises:
        EchosynthError: the working directory is in no git repository, or git is missing.
    """
    names = _files([commit])[commit]
    try:
        content = read(Result(commit, "", "", 0, *names, ""))
        scores = flat_scores(content.scores)
    except (EchosynthError, TypeError, ValueError):
        return {}
    return scores if content.belongs() else {}


def flat_scores(tree: Mapping[str, Any]) -> dict[str, float]:
    """Turn the content of reports/metrics.json into "branch.leaf" -> number, without the branch of reasons.

    Raises:
        TypeError, ValueError: it holds something else than branches of numbers.
    """
    scores = flat_tree({name: branch for name, branch in tree.items() if name != ABSENT})
    if outside := [name for name in scores if "." not in name]:
        raise ValueError(f"{outside[0]} is no branch of scores")
    return {name: float(value) for name, value in scores.items()}


def flat_reasons(tree: Mapping[str, Any]) -> dict[str, str]:
    """Why reports/metrics.json holds no score of a name, such as "absent.test.macro_f1" -> "images of A4C alone";
    tags of a row."""
    return {name: str(text) for name, text in flat_tree({ABSENT: tree.get(ABSENT, {})}).items()}


def blobs(*names: str) -> list[bytes]:
    """Contents of objects of the repository, by their hashes; empty for an empty one.

    Raises:
        EchosynthError: the repository lacks an object.
    """
    printed = git.output("cat-file", "--batch", given="".join(f"{name}\n" for name in names if name))
    found, start = [], 0
    for name in names:
        if not name:
            found.append(b"")
            continue
        head, _, _ = printed[start:].partition(b"\n")
        if not head.split()[-1].isdigit():
            raise EchosynthError(f"git has no object {name}; `git fsck` says what else is missing")
        start += len(head) + 1
        size = int(head.split()[-1])
        found.append(printed[start : start + size])
        start += size + 1
    return found


def stages(lock: bytes) -> dict[str, Any]:
    """The stages in the text of a dvc.lock; none where there is no such file or it is torn."""
    try:
        found = yaml.load(lock, Loader=Loader)["stages"]  # noqa: S506  (a safe loader)
    except (TypeError, KeyError, yaml.YAMLError):
        return {}
    return {name: stage for name, stage in found.items() if isinstance(stage, dict)} if isinstance(found, dict) else {}


def entries(stage: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Path -> MD5 of the outputs ("outs") or the dependencies ("deps") of a stage of dvc.lock."""
    return {entry["path"]: entry["md5"] for entry in stage.get(kind, []) if "path" in entry and "md5" in entry}


def outs(stages: Mapping[str, Any]) -> dict[str, str]:
    """Path -> MD5 of all that stages of dvc.lock wrote."""
    return {path: md5 for stage in stages.values() for path, md5 in entries(stage, "outs").items()}


def _above(stages: Mapping[str, Any], output: str) -> list[dict[str, Any]]:
    """The stages, but for those of a matrix, that write an output, or what it is made of."""
    found: dict[str, dict[str, Any]] = {}
    wanted, done = {output}, set[str]()
    while wanted:
        done |= wanted
        writers = {name: stage for name, stage in stages.items() if _touches(entries(stage, "outs"), wanted)}
        found |= writers
        wanted = {path for stage in writers.values() for path in entries(stage, "deps")} - done
    return [stage for name, stage in found.items() if "@" not in name]


def _moved(name: str, stages: Mapping[str, Any]) -> bool:
    """Whether a stage of dvc.lock is left from before it was renamed or went into a pipeline of its own."""
    return name.partition("@")[0] in MOVED and RENAMED in stages


def _touches(paths: Iterable[str], others: Iterable[str]) -> bool:
    """Whether one of the paths is one of the others, lies in one, or holds one."""
    pairs = [(f"{path}/", f"{other}/") for path in paths for other in others]
    return any(path.startswith(other) or other.startswith(path) for path, other in pairs)


def _references() -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Commits to start from, and name and baseline of those that are experiments."""
    found = {commit: (name, baseline) for name, baseline, commit in experiments()}
    starts = git.text("for-each-ref", "--format=%(objectname)", "refs/heads").splitlines() + list(found)
    detached = git.text_or("", "rev-parse", "--quiet", "--verify", "HEAD")
    return starts + [detached] * bool(detached), found


def _commits(starts: Iterable[str]) -> list[tuple[str, int, list[str]]]:
    """Hash, time and parents of all commits up to `starts`, parents first."""
    text = "".join(f"{commit}\n" for commit in starts)
    if not text:
        return []
    printed = git.output("rev-list", "--topo-order", "--reverse", "--parents", "--timestamp", "--stdin", given=text)
    rows = [line.split() for line in printed.decode().splitlines()]
    return [(commit, int(seconds), parents) for seconds, commit, *parents in rows]


def _files(commits: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """commit -> objects of params.yaml, reports/metrics.json and dvc.lock, empty for what it lacks."""
    text = "".join(f"{commit}:./{name}\n" for commit in commits for name in (PARAMS, SCORES, LOCK))
    lines = git.output("cat-file", "--batch-check=%(objectname)", given=text).decode().splitlines()
    names = iter("" if line.endswith(" missing") else line for line in lines)
    return {commit: (next(names), next(names), next(names)) for commit in commits}


def _mapping(name: str, text: bytes) -> dict[str, Any]:
    """Read a YAML or JSON file that must hold a mapping."""
    if not text:
        raise EchosynthError(f"{name} is missing or empty")
    try:
        found = json.loads(text) if name.endswith(".json") else yaml.load(text, Loader=Loader)  # noqa: S506
    except (ValueError, yaml.YAMLError) as error:
        raise EchosynthError(f"{name} is torn: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise EchosynthError(f"{name} holds no mapping")
    return found


def _at(tree: Mapping[str, Any], key: str) -> Any:
    """The value at "section.key", None where there is none."""
    found: Any = tree
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
