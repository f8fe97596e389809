"""What git and DVC know of one state of the project: a commit, an experiment, or the working tree."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echosynth.common import git
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json
from echosynth.common.yaml12 import read_yaml
from echosynth.tracking import history
from echosynth.tracking.dvc_cache import Cache, NotCachedError
from echosynth.tracking.history import LOCK, PARAMS, SCORES

CODE = "src/"


@dataclass(frozen=True)
class Data:
    """A file or folder as dvc.lock names it.

    Attributes:
        stage: the stage that writes it, or the first that reads it.
        md5: of the file, or of the folder as DVC forms it.
        files: how many; a single file is 1.
        size: bytes.
    """

    stage: str
    md5: str
    files: int
    size: int


@dataclass(frozen=True)
class ProjectState:
    """One state of the project.

    Attributes:
        name: in words, such as "experiment longer".
        commit: the commit that it is, or that the working tree is based on; 40 hex digits.
        experiments: names of DVC's experiments that are `commit`.
        dirty: files that git tracks differ from `commit`; of the working tree alone.
        params: params.yaml, nested.
        scores: reports/metrics.json as "branch.leaf" -> number.
        reasons: why others are absent, see `echosynth.tracking.history.flat_reasons`.
        belongs: dvc.lock says that the scores come from the parameters.
        outputs: path -> what a stage wrote there.
        inputs: path -> what stages read that no stage writes, code aside.
        code: module -> MD5, of those that stages depend on.
    """

    name: str
    commit: str
    experiments: tuple[str, ...]
    dirty: bool
    params: dict[str, Any]
    scores: dict[str, float]
    reasons: dict[str, str]
    belongs: bool
    outputs: dict[str, Data]
    inputs: dict[str, Data]
    code: dict[str, str]

    def file(self, output: str, name: str) -> Path | None:
        """Find a file of an output folder where it lies in DVC's cache on this machine; None where it does not.

        Raises:
            EchosynthError: the cache is damaged.
        """
        if output not in self.outputs:
            return None
        cache, md5 = _cache(Path.cwd()), self.outputs[output].md5
        try:
            folder = cache.folder(md5)
            return folder.file(name) if name in folder.hashes else None
        except NotCachedError:
            return None
        except (ValueError, KeyError, TypeError):
            raise EchosynthError(f"{cache.file(md5)} is damaged; delete it and run `dvc fetch`") from None


def find_state(name: str) -> ProjectState:
    """Look up the state that a commit, branch, tag or experiment of DVC is.

    Raises:
        EchosynthError: there is none of this name, or it holds no results, or torn ones.
    """
    kind, commit = "revision", _commit(name)
    experiments = history.experiments()
    if not commit:
        kind, commit = "experiment", _tip(name, experiments)
    files = {path: f"{commit}:./{path}" for path in (PARAMS, SCORES, LOCK)}
    for path, place in files.items():
        if git.text_or("missing", "cat-file", "-e", place):
            raise EchosynthError(
                f"{kind} {name} holds no {path}, so there is nothing to compare; name an experiment, or a commit that "
                "was made after `dvc repro`"
            )
    result = history.Result(commit, "", "", 0, files[PARAMS], files[SCORES], files[LOCK], "")
    try:
        content = history.read(result)
    except EchosynthError as error:
        raise EchosynthError(f"{kind} {name} cannot be compared: {error}; name another one") from None
    known = tuple(sorted(label for label, _, tip in experiments if tip == commit))
    return _state(f"{kind} {name}", commit, content, experiments=known)


def working_tree() -> ProjectState:
    """Read the state of the current folder.

    Raises:
        EchosynthError: it is no git repository, nothing is committed, or it holds no results, or torn ones.
    """
    commit = _commit("HEAD")
    if not commit:
        raise EchosynthError("nothing is committed yet; commit your work first")
    params, scores = read_yaml(PARAMS), read_json(SCORES)
    if not Path(LOCK).is_file():
        raise EchosynthError(f"{LOCK} is missing; run `dvc repro` to make it")
    content = history.Content(params, scores, Path(SCORES).read_bytes(), Path(LOCK).read_bytes())
    dirty = bool(git.text_or("", "status", "--porcelain", "--untracked-files=no"))
    return _state("the working tree", commit, content, dirty=dirty)


def _state(
    name: str, commit: str, content: history.Content, experiments: tuple[str, ...] = (), dirty: bool = False
) -> ProjectState:
    try:
        scores, reasons = history.flat_scores(content.scores), history.flat_reasons(content.scores)
    except (AttributeError, TypeError, ValueError):
        raise EchosynthError(f"{SCORES} of {name} holds no scores; run `dvc repro` to make it") from None
    stages = content.stages
    try:
        outputs, deps, belongs = _data(stages, "outs"), _data(stages, "deps"), content.belongs()
    except (AttributeError, KeyError, TypeError):
        stages = {}
    if not stages or not isinstance(content.params, Mapping):
        raise EchosynthError(f"{LOCK} or {PARAMS} of {name} is torn; take it from another commit or run `dvc repro`")
    inputs = {path: data for path, data in deps.items() if not path.startswith(CODE) and not _made(path, outputs)}
    code = {path: data.md5 for path, data in deps.items() if path.startswith(CODE)}
    return ProjectState(
        name, commit, experiments, dirty, content.params, scores, reasons, belongs, outputs, inputs, code
    )


def _data(stages: Mapping[str, Any], kind: str) -> dict[str, Data]:
    """Outputs ("outs") or dependencies ("deps") of all stages by path."""
    found: dict[str, Data] = {}
    for stage, content in stages.items():
        for entry in content.get(kind, []):
            data = Data(stage, entry["md5"], entry.get("nfiles", 1), entry.get("size", 0))
            found.setdefault(entry["path"], data)
    return found


def _made(path: str, outputs: Mapping[str, Data]) -> bool:
    """Whether a path is an output, lies in one, or holds some."""
    return any(f"{path}/".startswith(f"{output}/") or output.startswith(f"{path}/") for output in outputs)


def _commit(name: str) -> str:
    """The commit that a name of git stands for, empty for what git does not know.

    Raises:
        EchosynthError: there is no git, or no repository.
    """
    git.output("rev-parse", "--git-dir")
    return "" if name.startswith("-") else git.text_or("", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def _tip(name: str, experiments: list[tuple[str, str, str]]) -> str:
    """The commit of an experiment; of several with this name, the one that started from HEAD.

    Raises:
        EchosynthError: there is none, or which one is meant cannot be told.
    """
    found = [(baseline, tip) for label, baseline, tip in experiments if label == name]
    if len(found) > 1:
        found = [(baseline, tip) for baseline, tip in found if baseline == _commit("HEAD")] or found
    if not found:
        raise EchosynthError(
            f"there is no revision or experiment {name!r}; `git log --all --oneline` and `dvc exp list --all-commits` "
            "list them"
        )
    if len(found) > 1:
        commits = ", ".join(tip[:7] for _, tip in found)
        raise EchosynthError(f"{len(found)} experiments are called {name}; name the commit of one: {commits}")
    return found[0][1]


@functools.cache
def _cache(project: Path) -> Cache:
    """DVC's cache of the project in the working directory.

    Raises:
        EchosynthError: DVC does not know it.
    """
    return Cache()
