"""Where runs and models are kept, and the one way to get at them.

The default store is a SQLite file in the workspace (`files.workspace()`), not in the working directory: an experiment
that runs in a temporary copy must find the same store, and must not lose its runs when the copy is deleted.
`MLFLOW_TRACKING_URI` overrides it. Runs that cannot reach a server go to a store of their own in the workspace, see
`writable`, until `echosynth.tracking.offline.send` takes them there.
"""

import logging
import os
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING

from echosynth.common.errors import EchosynthError
from echosynth.common.files import explained, workspace
from echosynth.common.termination import deferred
from echosynth.tracking import answers
from echosynth.tracking.moved import follow

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow import MlflowClient

EXPERIMENT = "echosynth"
KEPT = Path(".resume/offline")
SQLITE = "sqlite:///"
LOCK_SECONDS = 300
QUIET = ("mlflow", "alembic", "sqlalchemy", "urllib3")
# MLflow reads these when it is imported; a user's own values stay.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # no usage statistics are sent from a project that holds medical data
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Through the server alone: by default files come by signed addresses, straight from storage that only the server
    # may reach.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    # A server that is gone costs a stage seconds: the run is then kept here, so there is no need to insist.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)


class Unreachable(EchosynthError):
    """The MLflow server does not answer. What only a server can do, such as registering a model, has to wait."""


@dataclass(frozen=True)
class Store:
    """A store that has been set up.

    Attributes:
        uri: its tracking URI.
        experiment: id of the one experiment that holds all runs.
        client: MLflow's client of it.
    """

    uri: str
    experiment: str
    client: "MlflowClient"


_stores: dict[str, Store] = {}  # by tracking URI: those that this process has set up
_lost: set[str] = set()  # tracking URIs of servers that did not answer this process


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` when it is set, else the SQLite file `mlflow.db` of the workspace.

    A relative address, such as sqlite:///mlflow.db, counts from the workspace: the working directory of an experiment
    is deleted with all that is in it.

    Raises:
        EchosynthError: the workspace lies in a folder whose name cannot stand in an address.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    if given.startswith(f"{SQLITE}/") or (":" in given and not given.startswith(SQLITE)) or given == "databricks":
        return given
    if odd := [sign for sign in "?%" if sign in str(workspace())]:
        raise EchosynthError(
            f"{workspace()} has {odd[0]} in its name, which SQLite takes for a part of an address; rename the folder"
        )
    return SQLITE * given.startswith(SQLITE) + str(workspace() / given.removeprefix(SQLITE))


def local_database() -> Path | None:
    """The SQLite file of the workspace, which may not be made yet; None when another store was chosen."""
    own = workspace() / "mlflow.db"
    return own if tracking_uri() == f"{SQLITE}{own}" else None


def exists() -> bool:
    """Whether there is a store already: a server is, a database of the workspace may not be made yet."""
    own = local_database()
    return own is None or own.is_file()


def require_existing() -> None:
    """Refuse to look something up in a local store that is not there, instead of making an empty one.

    Raises:
        EchosynthError: the workspace has no database.
    """
    if not exists():
        raise EchosynthError(
            f"there is no model registry: {workspace() / 'mlflow.db'} is missing; "
            "run `make demo` in the project's folder first, or name a folder with a stored model"
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
def reported(uri: str = "") -> Iterator[None]:
    """Turn every failure of a store inside the block into one sentence.

    Args:
        uri: which store; without it the one of `tracking_uri`.

    Raises:
        Unreachable: it is a server that does not answer.
        EchosynthError: the store is read-only, damaged or refuses what it was asked.
    """
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = uri or tracking_uri()
    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError, ImportError) as error:
        kind = Unreachable if answers.is_server(uri) and answers.unanswered(error) else EchosynthError
        raise kind(answers.sentence(uri, error)) from error


def whole(uri: str) -> AbstractContextManager[None]:
    """Let what is written inside the block be written whole, before Ctrl-C or SIGTERM takes effect.

    An exception in the middle of a transaction of MLflow's keeps an SQLite file locked as long as anybody holds the
    exception: the end of the run could not be written then. A server is left alone at once, as it may not answer.
    """
    return nullcontext() if answers.is_server(uri) else deferred()


def client() -> "MlflowClient":
    """Client of the store, which is set up first where need be; see `connect`."""
    return connect().client


def connect() -> Store:
    """Point MLflow to the store; on first use make its tables and the experiment; safe when several processes start.

    Raises:
        Unreachable: it is a server that does not answer.
        EchosynthError: the store is read-only, damaged or of a newer MLflow, or its experiment was deleted.
    """
    mlflow = _quiet_mlflow()
    uri = tracking_uri()
    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if not given:  # mlflow writes it to the environment, where it would look like the user's choice
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    # A server knows where its artifacts go; without one they go beside the store, not into the working directory.
    return _opened(uri, None if answers.is_server(uri) else workspace() / "mlartifacts")


def writable() -> Store:
    """The store that runs are written to: that of `connect`, or `kept` from the moment its server did not answer.

    Raises:
        EchosynthError: see `connect`; or the workspace cannot be written.
    """
    if tracking_uri() not in _lost:
        try:
            return connect()
        except Unreachable as error:
            lost(error)
    return kept()


def lost(error: Unreachable) -> None:
    """Note for this process that the server does not answer, and say so, once."""
    if tracking_uri() not in _lost:
        _lost.add(tracking_uri())
        reason = str(error).partition(";")[0]
        print(f"{reason}; the runs are kept in {KEPT}, `echosynth sync` sends them later", file=sys.stderr)


def kept_folder() -> Path | None:
    """Folder with runs that wait for a server; None where none wait."""
    return next((path.parent for path in sorted((workspace() / KEPT).glob("*/mlflow.db"))), None)


def kept() -> Store:
    """The store of the runs that wait for a server. Each one has a new name, as MLflow holds on to files that it has
    opened, even deleted ones."""
    _quiet_mlflow()
    with lock():
        folder = kept_folder() or workspace() / KEPT / uuid.uuid4().hex[:8]
        return _opened(f"{SQLITE}{folder / 'mlflow.db'}", folder / "artifacts")


def existing() -> list[Store]:
    """The stores that are there and answer, that of the runs that wait for a server first; none is made.

    Raises:
        EchosynthError: see `connect`.
    """
    found = [kept()] if kept_folder() else []
    if exists() and tracking_uri() not in _lost:
        with suppress(Unreachable):
            found.append(connect())
    return found


def _quiet_mlflow() -> ModuleType:
    import mlflow

    for name in QUIET:  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what it logs, with a stack, it raises too
    return mlflow


def _opened(uri: str, artifacts: Path | None) -> Store:
    """A store whose tables and experiment are there."""
    from mlflow import MlflowClient

    if uri not in _stores:
        with reported(uri), lock():
            if uri.startswith(SQLITE):
                database = Path(uri.removeprefix(SQLITE).partition("?")[0])
                _make_tables(database)
                if artifacts and database.is_relative_to(workspace()):
                    follow(database, EXPERIMENT, artifacts)
            answers.probe(uri)
            own = MlflowClient(uri)
            _stores[uri] = Store(uri, _find_experiment(own, artifacts), own)
    return _stores[uri]


def _make_tables(database: Path) -> None:
    """Make an SQLite store in a file beside it where there is none: it takes seconds, and a kill in their middle would
    leave a store that nothing can use."""
    from mlflow import MlflowClient

    if database.is_file() and database.stat().st_size:
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="mlflow-", dir=database.parent) as folder:
        MlflowClient(f"{SQLITE}{folder}/new.db").search_experiments()
        (Path(folder) / "new.db").replace(database)


def _find_experiment(client: "MlflowClient", artifacts: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifacts and artifacts.as_uri()))
        except MlflowException as error:  # another machine was quicker; the lock is of this workspace alone
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None or error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    if found.lifecycle_stage == "deleted":
        raise EchosynthError(
            f"the MLflow experiment {EXPERIMENT} was deleted; "
            f"run `mlflow experiments restore --experiment-id {found.experiment_id}`"
        )
    return str(found.experiment_id)
