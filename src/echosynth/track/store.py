"""Where runs and models are kept, and the one way to get at them.

The default store is a SQLite file in the workspace (`files.workspace()`), not in the working directory: an experiment
that runs in a temporary copy must find the same store, and must not lose its runs when the copy is deleted.
`MLFLOW_TRACKING_URI` overrides it.
"""

import logging
import os
import re
import sqlite3
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from echosynth.errors import EchosynthError
from echosynth.files import explained, workspace

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow import MlflowClient

EXPERIMENT = "echosynth"
LOCK_SECONDS = 300
PROBE_SECONDS = 10
QUIET = ("mlflow", "alembic", "sqlalchemy", "urllib3")

# No usage statistics are sent from a project that holds medical data. MLflow reads this when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

_experiments: dict[str, str] = {}  # tracking URI -> id of the experiment, of the stores that this process has set up


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` when it is set, else the SQLite file `mlflow.db` of the workspace, by its absolute path."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace() / 'mlflow.db'}"


def require_existing() -> None:
    """Refuse to look something up in a local store that is not there, instead of making an empty one.

    Raises:
        EchosynthError: the workspace has no database.
    """
    path = workspace() / "mlflow.db"
    if not os.environ.get("MLFLOW_TRACKING_URI") and not path.is_file():
        raise EchosynthError(
            f"there is no model registry: {path} is missing; run `make demo` in the project's folder first, "
            "or name a folder with a stored model"
        )


def lock(name: str = "track") -> "BaseFileLock":
    """Lock shared by all processes of the workspace, for a `with` block; its holder may take it again inside.

    Raises:
        EchosynthError: no lock file can be written in the workspace.
    """
    from filelock import FileLock

    folder = workspace() / ".resume"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock", timeout=LOCK_SECONDS, is_singleton=True)


@contextmanager
def reported() -> Iterator[None]:
    """Turn every failure of the store inside the block into one sentence.

    Raises:
        EchosynthError: the store is unreachable, read-only, damaged or refuses what it was asked.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        # The first line says what happened; SQLAlchemy's further lines are the statement and its values.
        raise _unusable(str(error).strip().partition("\n")[0] or type(error).__name__) from error


def client() -> "MlflowClient":
    """Client of the store, which is set up first where need be; see `connect`."""
    connect()
    from mlflow import MlflowClient

    return MlflowClient()


def experiment_id() -> str:
    """Id of the one experiment that holds all runs."""
    connect()
    return _experiments[tracking_uri()]


def connect() -> None:
    """Point MLflow to the store; on first use make its tables and the experiment; safe when several processes start.

    Raises:
        EchosynthError: the store is unreachable, read-only or damaged, or its experiment was deleted.
    """
    import mlflow

    for name in QUIET:  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = tracking_uri()
    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if not given:  # mlflow writes it to the environment, where it would look like the user's choice
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    if uri in _experiments:
        return
    with reported(), lock():
        _probe(uri)
        _experiments[uri] = _find_experiment(uri)


def _find_experiment(uri: str) -> str:
    from mlflow import MlflowClient

    client = MlflowClient()
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        # A server knows where its artifacts go; without one they go beside the store, not into the working directory.
        location = None if _is_server(uri) else (workspace() / "mlartifacts").as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        raise EchosynthError(
            f"the MLflow experiment {EXPERIMENT} was deleted; "
            f"run `mlflow experiments restore --experiment-id {found.experiment_id}`"
        )
    return str(found.experiment_id)


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://", "databricks"))


def _probe(uri: str) -> None:
    """Fail at once where mlflow would try again for minutes: a file that is no database or read-only, a dead server."""
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=60)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE probe (id)")  # only a write shows whether it may be written
            database.rollback()
    elif uri.startswith(("http://", "https://")):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # it answers; whether it lets us in shows in the first real request
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # certificates are for mlflow, which has settings for them
                raise


def _unusable(reason: str) -> EchosynthError:
    sentence = (
        f"MLflow at {tracking_uri()} cannot be used: {reason}; "
        "check MLFLOW_TRACKING_URI, or mend, free or move away the store, and run again"
    )
    return EchosynthError(re.sub(r"//[^/@\s]+@", "//***@", sentence))  # no passwords in messages
