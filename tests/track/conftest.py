"""Stores for the tests: real SQLite files, copied from one that is migrated once (a migration takes seconds)."""

import os
import shutil
from pathlib import Path

import pytest

from echosynth.track import store


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in them."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


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
