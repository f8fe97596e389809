"""A project folder that was renamed or copied takes its artifacts along: MLflow notes their places by absolute path."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

# Where MLflow 3.17 keeps addresses of artifacts; a model version's `source` goes by the model's id.
ADDRESSES: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def follow(database: Path, experiment: str, artifacts: Path) -> None:
    """Let a store of the workspace find its artifacts beside it, so that a renamed folder loses nothing and a copy
    never writes into its original.

    Args:
        database: SQLite file in the workspace; nothing happens where it holds something else than MLflow's tables.
        experiment: name of the experiment that tells where the artifacts were.
        artifacts: the folder where they are now.
    """
    now = artifacts.as_uri()
    with closing(sqlite3.connect(database, timeout=60)) as opened, opened:
        tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" not in tables:
            return
        found = opened.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)).fetchone()
        before = str(found[0]) if found else now
        # A bucket, or a folder that somebody chose, stays what it is.
        if before == now or not before.startswith("file:") or Path(before).name != artifacts.name:
            return
        for table, column in ADDRESSES:
            if table in tables:
                opened.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (now, len(before) + 1, len(before) + 1, f"{before}/"),
                )
        opened.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (now, before))
