"""Copies of registered classifiers in the workspace, for those who use them: each is fetched once."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from echosynth.common.files import atomic_folder, workspace
from echosynth.registry.versions import (
    CARD_SHA,
    CHAMPION,
    NAME,
    SHA,
    champion,
    fetch,
    find,
    holds,
    names_a_number,
    newest,
    versions,
)
from echosynth.tracking import store

# MLflow's tables since its aliases, read without MLflow. `None` is its word for a version that was not deleted.
QUERY = """
SELECT version, (SELECT value FROM model_version_tags AS tags
                 WHERE tags.name = found.name AND tags.version = found.version AND tags.key = :sha),
                (SELECT value FROM model_version_tags AS tags
                 WHERE tags.name = found.name AND tags.version = found.version AND tags.key = :card_sha)
FROM model_versions AS found
WHERE name = :name AND current_stage = 'None' AND version = COALESCE(
    :number, (SELECT version FROM registered_model_aliases WHERE name = :name AND alias = :alias))
"""


def load_registered(alias_or_version: str, name: str = NAME) -> Path:
    """Fetch a registered classifier, or take the copy that was fetched before.

    Args:
        alias_or_version: such as "champion" or "3". As long as nothing was promoted, "champion" is the newest version,
            which is said on stderr.
        name: name of the registered model.

    Returns:
        Local folder with model.safetensors and card.json.

    Raises:
        EchosynthError: there is no such version, its files do not arrive, or they are not those registered.
    """
    store.require_existing()
    if there := _fetched_before(alias_or_version, name):
        return there
    if alias_or_version == CHAMPION and champion(name) is None and versions(name):
        version = newest(name)
        print(f"no version of {name} is champion yet: version {version.version}, the newest, is used", file=sys.stderr)
    else:
        version = find(alias_or_version, name)
    folder = _folder(name, version.version, version.tags.get(SHA, ""))
    if not holds(folder, version.tags):
        with atomic_folder(folder) as part:
            fetch(version, part)
    return folder


def _folder(name: str, version: int | str, sha: str) -> Path:
    return workspace() / ".resume" / "registry" / f"{name}-{version}-{sha[:8]}"


def _fetched_before(alias_or_version: str, name: str) -> Path | None:
    """The copy of a version that the workspace's own database names, without the seconds that MLflow takes to be
    imported. None where MLflow has to be asked: on a server, without a copy, and for whatever is not plain."""
    path = store.local_database()
    if path is None or not path.is_file():
        return None
    number = int(alias_or_version) if names_a_number(alias_or_version) else None
    wanted = {"name": name, "number": number, "alias": alias_or_version, "sha": SHA, "card_sha": CARD_SHA}
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(QUERY, wanted).fetchall()
    except sqlite3.Error:
        return None  # MLflow says what is wrong with it
    if len(rows) != 1:
        return None
    version, sha, card_sha = rows[0]
    tags = {SHA: sha} | ({CARD_SHA: card_sha} if card_sha else {})
    folder = _folder(name, version, sha or "")
    return folder if holds(folder, tags) else None
