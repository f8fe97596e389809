"""The model registry: versions of the final classifier, and the aliases that say which one is in use."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash
from echosynth.common.paths import CARD, STORED, WEIGHTS
from echosynth.serving.manifest import PACKAGE_SHA, check_package
from echosynth.serving.packaging import ARTIFACT
from echosynth.tracking import store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME = "echo-view-classifier"
CHAMPION, PREVIOUS = "champion", "previous"
SHA, CARD_SHA = "model_sha", "card_sha"  # tags of a version: MD5 of its two files
NONE_THERE = "none is registered; run `echosynth register`, or `dvc repro` where there is no final model yet"


def fetch(version: "ModelVersion", folder: Path) -> None:
    """Write a version's weights and card, as the registry holds them now, into an existing folder.

    Raises:
        EchosynthError: they do not arrive, or are not those that were registered.
    """
    with _downloaded(version, f"/artifacts/{ARTIFACT}") as fetched:
        for file in STORED:
            (folder / file).write_bytes((fetched / file).read_bytes())
    if other := _other(folder, version.tags):
        raise EchosynthError(
            f"version {version.version} of {version.name} is damaged in the MLflow store: its {other} is not the one "
            "that was registered; delete the version and register its model anew with `echosynth register`"
        )


def check_stored(version: "ModelVersion") -> None:
    """Check all that the registry holds of a version, its code included, against the hash that it was registered with.
    A version from before there was such a hash has its weights and its card checked by `fetch` alone.

    Raises:
        EchosynthError: its files do not arrive, or one was changed, added or removed.
    """
    if registered := version.tags.get(PACKAGE_SHA):
        with _downloaded(version) as package:
            check_package(package, f"version {version.version} of {version.name}", registered)


@contextmanager
def _downloaded(version: "ModelVersion", part: str = "") -> Iterator[Path]:
    """A copy of a version's files, or of a folder of them, for the block; missing ones are missed in the block."""
    import mlflow
    from mlflow.exceptions import MlflowException

    with store.reported():
        uri = store.client().get_model_version_download_uri(version.name, version.version)
    with tempfile.TemporaryDirectory() as temporary:
        try:
            yield Path(mlflow.artifacts.download_artifacts(f"{uri}{part}", dst_path=temporary))
        except (MlflowException, OSError) as error:
            reason = " ".join(str(error).split())[:200].replace(f"{temporary}/", "")
            raise EchosynthError(
                f"the files of version {version.version} of {version.name} do not come from the MLflow store "
                f"({reason}); restore them there, or delete the version and register its model anew"
            ) from error


def holds(folder: Path, tags: Mapping[str, str]) -> bool:
    """Whether a folder holds the weights and the card of the version with these tags."""
    return all((folder / file).is_file() for file in STORED) and _other(folder, tags) is None


def _other(folder: Path, tags: Mapping[str, str]) -> str | None:
    """The file that is not the one of the version with these tags; the card of an old version may have no hash."""
    weights, card = (file_hash(folder / file) for file in STORED)
    if weights != tags.get(SHA):
        return WEIGHTS
    return None if card == tags.get(CARD_SHA, card) else CARD


def names_a_number(alias_or_version: str) -> bool:
    """Whether it is a version's number, which a database's integers of 32 bits hold, and not an alias."""
    return alias_or_version.isdecimal() and len(alias_or_version) < 10


def find(alias_or_version: str, name: str = NAME) -> "ModelVersion":
    """A version by its number or alias, with its tags; "latest" is the newest one.

    Raises:
        EchosynthError: there is none.
    """
    from mlflow.exceptions import MlflowException

    client = store.client()
    if re.fullmatch(r"[vV]\d+", alias_or_version):
        raise EchosynthError(
            f"{alias_or_version} is a reserved name that no alias can have; "
            f"name version {alias_or_version[1:]} by its number"
        )
    with store.reported():
        try:
            if names_a_number(alias_or_version):
                return client.get_model_version(name, alias_or_version)
            number = client.get_model_version_by_alias(name, alias_or_version).version
            return client.get_model_version(name, number)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
    wanted = alias_or_version or "version without a name"
    there = ", ".join(str(version.version) for version in reversed(versions(name)))
    raise EchosynthError(
        f"the registry holds no {wanted} of {name} ({f'versions there: {there}' if there else NONE_THERE})"
    )


def versions(name: str = NAME) -> "list[ModelVersion]":
    """All versions, the newest first."""
    with store.reported():
        found = store.client().search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: -int(version.version))


def newest(name: str = NAME) -> "ModelVersion":
    """The version that was registered last.

    Raises:
        EchosynthError: there is none.
    """
    found = versions(name)
    if not found:
        raise EchosynthError(f"the registry holds no version of {name}: {NONE_THERE}")
    return found[0]


def aliases(name: str = NAME) -> dict[str, str]:
    """Alias -> version; none where no such model is registered."""
    from mlflow.exceptions import MlflowException

    with store.reported():
        try:
            return {key: str(version) for key, version in store.client().get_registered_model(name).aliases.items()}
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return {}


def champion(name: str = NAME) -> str | None:
    """The version in use; None before the first promotion."""
    return aliases(name).get(CHAMPION)
