"""Commands of echosynth as processes of their own, which tests watch, stop and kill."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from tests.killing import DEADLINE

ROOT = Path(__file__).parents[2]


def bare_environment() -> dict[str, str]:
    """The environment of this process without what DVC and MLflow would take from it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    identity = {f"GIT_{who}_{what}": "toy" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | identity | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}marks", "COLUMNS": "100"}


def call(project: Path, *words: str, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    """Run a command in a project; `dvc` need not be on the path of the one who calls echosynth."""
    if words[0] in ("echosynth", "dvc"):
        words = (str(python), "-m", {"echosynth": "echosynth.cli", "dvc": "dvc"}[words[0]], *words[1:])
    return subprocess.run(
        words, cwd=project, env=bare_environment(), check=False, text=True, capture_output=True, timeout=DEADLINE
    )


def runs(project: Path) -> tuple[list[Run], list[Run]]:
    """Parents and children in the project's store."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("echosynth").experiment_id])
    children = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    return [run for run in found if "mlflow.parentRunId" not in run.data.tags], children


def start(project: Path, *words: str, customized: Path | None = None) -> subprocess.Popen[bytes]:
    """A command of echosynth that runs meanwhile; marks/err says what it has to say.

    Args:
        customized: folder of a sitecustomize.py for it and for all that it starts, wherever they work.
    """
    environment = bare_environment()
    if customized:
        environment["PYTHONPATH"] += f"{os.pathsep}{customized}"
    with (project / "marks/err").open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "echosynth.cli", *words],
            cwd=project,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=stream,
        )


def wait_for(what: str, condition: Callable[[], object], process: subprocess.Popen[bytes], project: Path) -> None:
    """Wait until a command has come so far; it has to be running then."""
    until = time.monotonic() + DEADLINE
    while not condition():
        said = (project / "marks/err").read_text()
        assert process.poll() is None, f"it ended before {what}: {said}"
        assert time.monotonic() < until, f"not within {DEADLINE:.0f} s: {what}; it said: {said}"
        time.sleep(0.05)
    assert process.poll() is None, (project / "marks/err").read_text()


def ended(process: subprocess.Popen[bytes], project: Path) -> tuple[int, str]:
    """Exit status of a command, and what it said, when it has ended."""
    try:
        status = process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        pytest.fail(f"no end within {DEADLINE:.0f} s; it said: {(project / 'marks/err').read_text()}")
    return status, (project / "marks/err").read_text()


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


# As sitecustomize.py: who looks every second or two whether something has happened looks eight times as often. Longer
# waits, such as that of DVC's workers for another experiment, stay what they are.
HASTY = """
import sys, time
sleep = time.sleep
def hasty(seconds):
    sleep(seconds / 8 if 0.5 <= seconds <= 2 else seconds)
for module in [time, *sys.modules.values()]:
    if vars(module).get("sleep") is sleep and module.__name__ != __name__:
        module.sleep = hasty
"""
# As sitecustomize.py, with a path: whoever starts an interpreter starts this one.
INTERPRETER = """
import sys
sys.executable = {!r}
"""
# As sitecustomize.py: a training waits behind its first saved state to be killed.
WAITING = """
import time
from pathlib import Path
replace = Path.replace
def waiting(self, target):
    moved = replace(self, target)
    if "diffusion-" in str(target) and str(target).endswith("state.safetensors"):
        time.sleep(3600)
    return moved
Path.replace = waiting
"""
