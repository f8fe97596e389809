"""Whether a store answers, and what is wrong when it does not."""

import http.client
import re
import sqlite3
import ssl
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from echosynth.common.files import full_disk

PROBE_SECONDS = 10


def is_server(uri: str) -> bool:
    """Whether a tracking URI names a server, not a database."""
    return uri.startswith(("http://", "https://", "databricks"))


def probe(uri: str) -> None:
    """Fail at once where mlflow would try again for minutes: a file that is no database or read-only, a dead server."""
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=60)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE probe (id)")  # only a write shows whether it may be written
            database.rollback()
    elif uri.startswith("postgresql"):
        from sqlalchemy import create_engine

        engine = create_engine(uri, connect_args={"connect_timeout": PROBE_SECONDS})
        engine.connect().close()
        engine.dispose()
    elif uri.startswith(("http://", "https://")):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError as error:
            if error.code >= 500:  # a proxy whose server is gone
                raise
            # Below that it answers; whether it lets us in shows in the first real request.
        except (OSError, http.client.HTTPException) as error:
            # Certificates are for mlflow, which has settings for them.
            if not isinstance(getattr(error, "reason", None), ssl.SSLError):
                raise urllib.error.URLError(getattr(error, "reason", error)) from error


def unanswered(error: BaseException | None) -> bool:
    """Whether a request failed because nobody answered it: mlflow's exception for that has the cause behind it."""
    import requests

    while error is not None:
        if isinstance(error, urllib.error.URLError):  # HTTPError is one
            return True
        if isinstance(error, requests.ConnectionError | requests.Timeout | requests.exceptions.RetryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def sentence(uri: str, error: BaseException) -> str:
    """What is wrong with a store and what to do, in one sentence without passwords."""
    # The first line says what happened; SQLAlchemy's further lines are the statement and its values.
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    text = (
        f"MLflow at {uri} cannot be used: {reason}; "
        "check MLFLOW_TRACKING_URI, or mend, free or move away the store, and run again"
    )
    if found := re.search(r"Can't locate revision identified by '(\w+)'|\(found version (\w+)", reason):
        text = _other_schema(uri, found[1] or found[2])
    if full := full_disk(error):
        text = f"cannot write {uri}: {full} and run again"
    # No passwords in messages, of whatever characters.
    text = re.sub(r"(://|\")[^\s\"]*@", r"\1***@", text)
    return re.sub(r"(password=)[^&\s;]+", r"\1***", text)


def _other_schema(uri: str, revision: str) -> str:
    import mlflow

    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(migrations.glob(f"{revision}_*.py")):
        return (
            f"the MLflow store at {uri} was written by an older MLflow (schema {revision}); "
            f"copy it, run `mlflow db upgrade {uri}`, and run again"
        )
    return (
        f"the MLflow store at {uri} was written by a newer MLflow (schema {revision}, this is MLflow "
        f"{mlflow.__version__}); install that version or move the store away, and run again"
    )
