"""What tells one execution of the pipeline from another: revision, experiment, parameters, data."""

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from echosynth.common import git
from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash, fingerprint, workspace
from echosynth.common.yaml12 import read_yaml
from echosynth.config.presets import overlay, preset_names

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
# What the pipeline and DVC write into files that git keeps tells nothing of the code.
WRITTEN = (":(exclude,glob)**/dvc.lock", ":(exclude)reports", ":(exclude,glob)**/.gitignore")
OTHER_PIPELINE = re.compile(r"echosynth\.stages\.(\w+)\.\w+")


def pipeline() -> str:
    """Which pipeline this process is a stage of: the folder of its dvc.yaml and its module; empty for the study."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    found = OTHER_PIPELINE.fullmatch(spec.name) if spec else None
    return found[1] if found else ""


def parent_key() -> str:
    """What the stages of one execution have in common: DVC's experiment name or "repro", and a hash of workspace,
    pipeline and parameters.

    A commit in the middle does not part them, comments in params.yaml neither; colleagues who run the same parameters
    or choose the same name against one server are told apart.
    """
    return execution_key(os.environ.get("DVC_EXP_NAME", ""), pipeline(), params_hash())


def execution_key(experiment: str, pipeline: str, parameters: str) -> str:
    """What `parent_key` says in this workspace.

    Args:
        experiment: DVC's name, empty for `dvc repro`.
        pipeline: see `pipeline`.
        parameters: see `params_hash`.
    """
    place = platform.node(), str(workspace()), pipeline
    return f"{experiment or 'repro'}-{fingerprint(place, parameters)}"


def execution_name() -> str:
    """DVC's experiment name, else "repro" (or the name of another pipeline) and the first digits of the revision."""
    return os.environ.get("DVC_EXP_NAME") or f"{pipeline() or 'repro'} {head()[:7]}".strip()


def origin_tags() -> dict[str, str]:
    """Tags that tell what was run: the commit that MLflow would note is the baseline in every kind of experiment."""
    revision, experiment = head(), os.environ.get("DVC_EXP_NAME", "")
    tags = {
        "dvc.exp_name": experiment,
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV") or revision,
        "dvc.pipeline": pipeline(),
        "git.dirty": str(_dirty(bool(experiment))).lower() if revision else "",
        "mlflow.source.git.commit": revision,
        "echosynth.preset": preset(),
        "echosynth.parameters": params_hash(),
    }
    return {key: value for key, value in tags.items() if value}


def _dirty(experiment: bool) -> bool:
    """Whether a file that git keeps was changed by somebody: in an experiment DVC itself changes the parameters."""
    left_out = [*WRITTEN, f":(exclude){PARAMS}"] if experiment else WRITTEN
    return bool(git.text_or("", "status", "--porcelain", "--untracked-files=no", "--", ":/", *left_out))


def params_hash() -> str:
    """Hash of the parameters as they are read, whatever the comments; "none" where there is no params.yaml.

    Raises:
        EchosynthError: params.yaml is no YAML.
    """
    return fingerprint(read_yaml(PARAMS)) if PARAMS.is_file() else "none"


def preset() -> str:
    """What `preset_of` says of params.yaml; empty where there is none."""

    def unchanged() -> bool:
        baseline = os.environ.get("DVC_EXP_BASELINE_REV") or head()
        return bool(baseline) and git.text_or("?", "diff", baseline, "--", str(PARAMS)) == ""

    return preset_of(read_yaml(PARAMS), unchanged) if PARAMS.is_file() else ""


def preset_of(params: Mapping[str, Any], unchanged: Callable[[], bool]) -> str:
    """Name of the preset all of whose values the parameters hold, the one with the most values if there are several.

    Args:
        params: as params.yaml is read; the presets are those of the working directory.
        unchanged: asked where there is none: whether the parameters are those of the commit.

    Returns:
        The name; else "demo" for unchanged parameters, and "own" for others.
    """
    held = {}
    for name in preset_names(PARAMS):
        with suppress(EchosynthError):  # a preset that cannot be read is none that was applied
            values = overlay(name, PARAMS)
            if values and _holds(params, values):
                held[name] = _leaves(values)
    if held:
        return max(held, key=lambda name: held[name])
    return "demo" if unchanged() else "own"


def _holds(tree: Any, values: Any) -> bool:
    if not isinstance(values, Mapping):
        return bool(tree == values)
    return isinstance(tree, Mapping) and all(key in tree and _holds(tree[key], values[key]) for key in values)


def _leaves(values: Any) -> int:
    return sum(map(_leaves, values.values())) if isinstance(values, Mapping) else 1


def result_key(params: Mapping[str, Any], scores: Mapping[str, float]) -> str:
    """What tells the result of one execution from another, wherever and whenever it was made: 16 hex digits.

    Args:
        params: params.yaml as it is read, nested.
        scores: the final scores, flat, as in the row of the execution.
    """
    text = json.dumps([params, {name: float(value) for name, value in scores.items()}], sort_keys=True, default=str)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:16]


def lock_path() -> Path:
    """The dvc.lock of this pipeline, which may not be there yet."""
    return Path(pipeline()) / LOCK


def lock_hash() -> str:
    """MD5 of the dvc.lock of this pipeline, empty where there is none."""
    return file_hash(lock_path()) if lock_path().is_file() else ""


def data_hash(path: Path) -> str:
    """MD5 of a file, or of a folder as DVC forms it (32 hex digits and ".dir"): what dvc.lock holds for the same data.

    Raises:
        EchosynthError: nothing is there.
    """
    if path.is_file():
        return file_hash(path)
    if not path.is_dir():
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it")
    files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    listing = json.dumps([{"md5": file_hash(file), "relpath": name} for name, file in files])
    return f"{hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest()}.dir"


def head() -> str:
    """Commit of the working directory, empty where there is none."""
    return git.text_or("", "rev-parse", "HEAD")
