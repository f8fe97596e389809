"""What tells one execution of the pipeline from another: revision, experiment, parameters, data."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echosynth.errors import EchosynthError
from echosynth.files import file_hash, fingerprint

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")


def parent_key() -> str:
    """What the stages of one execution have in common: DVC's experiment name, else a hash of commit and parameters."""
    return os.environ.get("DVC_EXP_NAME") or f"repro-{fingerprint(head(), params_hash())}"


def execution_name() -> str:
    """DVC's experiment name, else "repro" and the first digits of the revision."""
    return os.environ.get("DVC_EXP_NAME") or f"repro {head()[:7]}".strip()


def origin_tags() -> dict[str, str]:
    """Tags that tell what was run: the commit that MLflow would note is the baseline in every kind of experiment."""
    revision = head()
    tags = {
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV") or revision,
        "git.dirty": str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower() if revision else "",
        "mlflow.source.git.commit": revision,
    }
    return {key: value for key, value in tags.items() if value}


def params_hash() -> str:
    """MD5 of params.yaml, "none" where there is none."""
    return file_hash(PARAMS) if PARAMS.is_file() else "none"


def result_key(params: Mapping[str, Any], scores: Mapping[str, float]) -> str:
    """What tells the result of one execution from another, wherever and whenever it was made: 16 hex digits.

    Args:
        params: params.yaml as it is read, nested.
        scores: the final scores, flat, as in the row of the execution.
    """
    text = json.dumps([params, {name: float(value) for name, value in scores.items()}], sort_keys=True, default=str)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:16]


def lock_hash() -> str:
    """MD5 of dvc.lock, empty where there is none."""
    return file_hash(LOCK) if LOCK.is_file() else ""


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
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str:
    """Output of git in the working directory; empty where there is no git, no repository or no commit yet."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
