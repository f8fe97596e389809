"""Workspaces with stores: real SQLite files, copied from one that is migrated once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from echosynth.config.parameters import Params
from echosynth.tracking import store


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, which is the workspace too, and no setting of DVC or MLflow but the project's own."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for name, value in (store.SETTINGS | {"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"}).items():
        monkeypatch.setenv(name, value)
    store._lost.clear()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def workspace(bare: Path, migrated: Path) -> Path:
    """A workspace with a fresh store and a small params.yaml."""
    shutil.copy(migrated, bare / "mlflow.db")
    (bare / "params.yaml").write_text("split:\n  seed: 3\n  subsets: [150, all]\nsample:\n  guidance: 1.0\n")
    return bare


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with data and an empty registry, whose networks are pretended; Ada works there."""
    from tests.track import pretended

    from echosynth.registry import examine

    monkeypatch.setattr(examine, "load", pretended.pretended_load)
    monkeypatch.setattr(examine, "predict", pretended.pretended_predict)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(workspace / "gitconfig"))
    (workspace / "gitconfig").write_text("[user]\n\tname = Ada\n")
    pretended.write_project()
    return workspace


@pytest.fixture
def params(params_with: Callable[..., Params]) -> Params:
    """Parameters for that project."""
    from tests.tracking.pretended import with_gates

    return with_gates(params_with)
