"""The commands of docs/teams.md, and a place to run them."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/teams.md"
WORKER = Path(__file__).with_name("worker.py")
PRELOADED: list[Path] = []  # folder of commands that find their libraries imported, where there is one
PARAMS = "split:\n  seed: 3\nclassifier:\n  seed: 0\n"


def require(*modules: str) -> None:
    """Skip the test where one of these is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; see requirements-extra.txt")


def documented(heading: str, replace: Mapping[str, str], language: str = "console") -> list[str]:
    """The code blocks below a heading of docs/teams.md, with other addresses and passwords.

    Raises:
        AssertionError: there is no such block, or it does not hold a text that is to be replaced.
    """
    section = re.split(r"^##+ ", PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2], flags=re.M)[0]
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.M | re.S)
    assert blocks, f"no {language} block below {heading}"
    for old, new in replace.items():
        assert any(old in block for block in blocks), f"{old} is not below {heading}"
        blocks = [block.replace(old, new) for block in blocks]
    return blocks


def clean_environment(home: Path) -> dict[str, str]:
    """An environment without settings of DVC, MLflow, PostgreSQL and S3, with the programs of this Python first."""
    foreign = ("DVC_", "MLFLOW_", "PG", "AWS_", "SSH_", "GIT_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    identity = {f"GIT_{who}_{what}": "toy" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    places = {
        "PATH": os.pathsep.join([*map(str, PRELOADED), str(Path(sys.executable).parent), kept["PATH"]]),
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, [kept.get("PYTHONPATH")])]),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "600",  # a server on a slow machine is no server that is gone
    }
    return kept | identity | places


def shell(
    script: str, folder: Path, environment: Mapping[str, str], typed: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run lines of a shell in `folder`, away from any terminal; the output holds stderr too."""
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=dict(environment),
        input=typed,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # passwords are then read from stdin
        timeout=1800,
        check=False,
    )
    assert not check or done.returncode == 0, f"{script}\n{done.stdout[-3000:]}"
    return done
