#!/usr/bin/env bash
# MLflow on SQLite: after a Ctrl-C inside log_metric, `except KeyboardInterrupt: mlflow.end_run("KILLED")` waits for
# 20 seconds and fails: the connection that SQLAlchemy has just closed keeps the database locked.
#
# A good engineer's guess: closing a connection gives its lock back. Since Python 3.11, sqlite3 no longer resets the
# statements of a connection that is closed: as long as a cursor with rows left lives, the file stays locked, for every
# process. After Ctrl-C that cursor lives in the frames of the traceback, until the garbage collector takes those.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check mlflow==3.17.2 sqlalchemy==2.1.9
export MLFLOW_TRACKING_URI="sqlite:///$work/mlflow.db" MLFLOW_DISABLE_TELEMETRY=true
unset MLFLOW_RUN_ID MLFLOW_EXPERIMENT_NAME MLFLOW_EXPERIMENT_ID

venv/bin/python - 2> log <<'PY' || { cat log >&2; exit 1; }
import gc
import signal
import sqlite3
import sys

import mlflow
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine


def state(path: str) -> str:
    """Whether another connection may write now."""
    other = sqlite3.connect(path, timeout=0)
    try:
        table = other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        other.execute(f"DELETE FROM {table} WHERE 0")
        other.commit()
        return "free"
    except sqlite3.OperationalError as error:
        return str(error)
    finally:
        other.close()


first = sqlite3.connect("plain.db")
first.execute("CREATE TABLE numbers (number)")
first.executemany("INSERT INTO numbers VALUES (?)", [(1,), (2,)])
first.commit()
cursor = first.execute("SELECT number FROM numbers")
first.close()
closed = state("plain.db")
del cursor
gone = state("plain.db")

asked = False


@event.listens_for(Engine, "do_execute")
def ctrl_c(cursor, statement, parameters, context):
    """Execute it as ever; then a Ctrl-C, once it was asked for and something is read."""
    global asked
    cursor.execute(statement, parameters)
    if asked and statement.lstrip().startswith("SELECT"):
        asked = False
        signal.raise_signal(signal.SIGINT)
    return True


run = mlflow.start_run()
mlflow.log_metric("loss", 1.0, step=0)
asked = True
try:
    mlflow.log_metric("loss", 0.5, step=1)
except KeyboardInterrupt:
    inside = state("mlflow.db")
    try:
        mlflow.end_run("KILLED")
        ended = "ended"
    except Exception as error:  # MLflow's own, around SQLAlchemy's
        ended = str(error).splitlines()[0]
status = mlflow.get_run(run.info.run_id).info.status
gc.collect()
outside = state("mlflow.db")

print("Python", sys.version.split()[0], "mlflow", mlflow.__version__, "SQLAlchemy", sqlalchemy.__version__)
print("sqlite3, connection closed:", closed, "- cursor gone:", gone)
print("in the except block:", inside, "- end_run:", ended)
print("after it:", outside, "- status of the run:", status)
assert (closed, gone) == ("database is locked", "free")
assert (inside, outside, status) == ("database is locked", "free", "RUNNING")
assert "database is locked" in ended
PY
