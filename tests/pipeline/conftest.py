"""A toy copy of the project, at sizes at which the whole pipeline takes a minute or two."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from tests.pipeline.toy import Experiment

from echosynth.common.yaml12 import read_yaml

ROOT = Path(__file__).parents[2]
DEMO = read_yaml(ROOT / "params.yaml")
TINY: dict[str, dict[str, Any]] = {
    "data": {"max_bad_share": 0.05},  # of a few files, one is a large share
    "phantom": {"one_in": 260.0},
    "ingest": {"workers": 1},  # the start of worker processes takes longer than their work
    "split": {"subsets": [60]},
    "diffusion": {
        "preconditioning": "none",  # to fit the Gaussians takes longer than all else; test_explore.py has them
        "loss": "min-snr",
        "channels": [16, 32],
        "attention": [8],
        "autoencoder": DEMO["diffusion"]["autoencoder"] | {"channels": [8, 8], "steps": 4},
        "steps": 10,
        "checkpoint_every": 5,
        "log_every": 5,
        "snapshots": 2,
        "snapshot_images": 8,
    },
    "sample": {"per_view": 8, "evaluations": 2, "batch_size": 16},
    "fidelity": {
        "floor_repeats": 2,
        "imagenet_weights": "",  # importing all of timm takes seconds
        "training": DEMO["fidelity"]["training"] | {"steps": 6},
    },
    "arms": {"real": ["real"], "synthetic": ["synthetic"], "baseline": ["gaussian"]},
    "classifier": {
        "seeds": [0],
        "steps": 6,
        "evaluations": 2,
        "bootstrap": 20,
    },
}
Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment(project: Path) -> dict[str, str]:
    """The environment without what DVC and MLflow would take from it, with this project's own copy of the package,
    which each process would compile anew where byte code is not kept."""
    foreign = ("DVC_", "MLFLOW_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    identity = {f"GIT_{who}_{what}": "toy" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | identity | {"PYTHONPATH": str(project / "src")}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """A git and DVC repository with the project's own dvc.yaml and code, tiny parameters, and a database in which
    nothing is; nothing has run yet."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copy(migrated, folder / "mlflow.db")
    for name in ("dvc.yaml", "data/raw/dvc.yaml", ".dvcignore", ".gitignore", "data/salt.demo", "data/shift/README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "data/review", folder / "data/review")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(
        ROOT / "models" / "inception", folder / "models" / "inception", ignore=shutil.ignore_patterns("*.pth")
    )
    params = read_yaml(ROOT / "params.yaml")
    for section, changes in TINY.items():
        params[section] |= changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    environment = clean_environment(folder)
    for command in (
        "git init -q",
        "dvc init -q",
        "dvc config core.analytics false",
        "dvc config cache.type hardlink,copy",  # a classifier has 45 MB, and there are many
        "git add -A",
        "git commit -qm toy",
    ):
        subprocess.run(command.split(), cwd=folder, env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def plain_environment(project: Path) -> dict[str, str]:
    """Environment of commands in the toy project."""
    return clean_environment(project)


@pytest.fixture(scope="session")
def environment(plain_environment: dict[str, str], commands: Path) -> dict[str, str]:
    """The same, with commands that find their libraries imported."""
    return plain_environment | {"PATH": f"{commands}{os.pathsep}{plain_environment['PATH']}"}


@pytest.fixture(scope="session")
def run(project: Path, environment: dict[str, str]) -> Run:
    """Run a command in the toy project and return what it printed, stderr included."""

    def call(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=project,
            env=environment,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert not check or done.returncode == 0, done.stdout[-3000:]
        return done

    return call


@pytest.fixture(scope="session")
def finished(project: Path, run: Run) -> Path:
    """The toy project after one `dvc repro`."""
    run("dvc", "repro")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "Results")
    return project


def rows_of_executions(client: MlflowClient) -> int:
    """How many executions a store holds."""
    experiment = client.get_experiment_by_name("echosynth").experiment_id
    return len(client.search_runs([experiment], "tags.`echosynth.stage` = 'pipeline'"))


def experiment(project: Path, run: Run, name: str, *words: str) -> Experiment:
    """Run an experiment of this name."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    before = rows_of_executions(client)
    printed = run("dvc", "exp", "run", "-n", name, *words).stdout
    newest = max(int(version.version) for version in client.search_model_versions("name = 'echo-view-classifier'"))
    return Experiment(name, printed, before, rows_of_executions(client), str(newest))


@pytest.fixture(scope="session")
def stronger(finished: Path, run: Run) -> Experiment:
    """An experiment with other samples, beside the results of HEAD."""
    return experiment(finished, run, "stronger", "--temp", "-S", "sample.guidance=2.0")


@pytest.fixture(scope="session")
def longer(finished: Path, run: Run) -> Experiment:
    """An experiment with longer trainings of the classifiers in the working tree, which shows HEAD again after it."""
    found = experiment(finished, run, "longer", "-S", "classifier.steps=8")
    run("git", "checkout", "-q", ".")
    run("dvc", "checkout", "-q")
    return found
