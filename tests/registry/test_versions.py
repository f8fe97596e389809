"""Versions in the registry, as whoever fetches them meets them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash
from echosynth.registry.versions import (
    CARD_SHA,
    CHAMPION,
    NAME,
    SHA,
    aliases,
    champion,
    find,
    load_registered,
    newest,
    versions,
)
from echosynth.serving.packaging import ARTIFACT
from echosynth.tracking import store


def add_version(folder: Path, weights: str, **card: Any) -> str:
    """A version whose files stand where a logged model's would; its number."""
    files = folder / "artifacts" / ARTIFACT
    files.mkdir(parents=True)
    (files / "model.safetensors").write_text(weights)
    (files / "card.json").write_text(json.dumps({"size": 32} | card))
    client = store.client()
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    tags = {SHA: file_hash(files / "model.safetensors"), CARD_SHA: file_hash(files / "card.json")}
    return str(client.create_model_version(NAME, folder.as_uri(), tags=tags).version)


@pytest.fixture
def three(workspace: Path) -> Path:
    """A workspace with versions 1 to 3, of which 2 is the champion."""
    for number in (1, 2, 3):
        add_version(workspace / f"model-{number}", f"weights {number}")
    store.client().set_registered_model_alias(NAME, CHAMPION, "2")
    return workspace


def test_versions_and_aliases(three: Path) -> None:
    assert [str(version.version) for version in versions()] == ["3", "2", "1"]
    assert str(newest().version) == "3"
    assert aliases() == {CHAMPION: "2"}
    assert champion() == "2"
    for name, number in (("champion", "2"), ("1", "1"), ("latest", "3")):
        version = find(name)
        assert str(version.version) == number
        assert set(version.tags) == {SHA, CARD_SHA}


def test_an_empty_registry(workspace: Path) -> None:
    assert (versions(), aliases(), champion()) == ([], {}, None)
    with pytest.raises(EchosynthError, match=f"no version of {NAME}: none is registered; run `echosynth register`"):
        newest()


def test_what_is_fetched_holds_weights_and_card_alone(three: Path) -> None:
    (three / "model-2" / "artifacts" / ARTIFACT / "notes.txt").write_text("not for use")
    folder = load_registered("champion")
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_text() == "weights 2"
    assert (load_registered("3") / "model.safetensors").read_text() == "weights 3"


def test_champion_is_the_newest_version_until_one_is_promoted(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_registered("champion")
    assert capsys.readouterr().err == ""
    store.client().delete_registered_model_alias(NAME, CHAMPION)
    assert (load_registered("champion") / "model.safetensors").read_text() == "weights 3"
    said = capsys.readouterr().err.splitlines()
    assert said == [f"no version of {NAME} is champion yet: version 3, the newest, is used"]
    with pytest.raises(EchosynthError, match="no previous"):  # no other alias has a stand-in
        load_registered("previous")


@pytest.mark.parametrize("which", ["champion", "7", "previous", "no alias!"])
def test_unknown_version_says_what_there_is(workspace: Path, which: str) -> None:
    store.connect()
    with pytest.raises(EchosynthError, match=f"no {which} of {NAME} .none is registered; run `echosynth register"):
        load_registered(which)
    add_version(workspace / "model", "weights")
    if which != "champion":
        with pytest.raises(EchosynthError, match=f"no {which} of {NAME} .versions there: 1"):
            load_registered(which)


def test_a_reserved_name_is_no_alias(three: Path) -> None:
    with pytest.raises(EchosynthError, match=r"v2 is a reserved name .* name version 2 by its number"):
        load_registered("v2")


def test_there_is_no_registry_without_a_database(bare: Path) -> None:
    with pytest.raises(EchosynthError, match="there is no model registry"):
        load_registered("champion")
    assert not (bare / "mlflow.db").exists()


@pytest.mark.parametrize("file", ["model.safetensors", "card.json"])
def test_damaged_files_are_not_handed_out(three: Path, file: str) -> None:
    (three / "model-2" / "artifacts" / ARTIFACT / file).write_text('{"size": 64}')
    with pytest.raises(EchosynthError, match=f"version 2 of {NAME} is damaged in the MLflow store"):
        load_registered("champion")
    assert not list((three / ".resume" / "registry").glob("*"))


def test_a_version_whose_files_are_gone_says_so(three: Path) -> None:
    shutil.rmtree(three / "model-2")
    with pytest.raises(EchosynthError, match=f"the files of version 2 of {NAME} do not come .* restore them") as caught:
        load_registered("champion")
    assert "\n" not in str(caught.value)


def test_a_copy_that_was_fetched_is_enough_and_a_torn_one_is_fetched_again(three: Path) -> None:
    folder = load_registered("champion")
    (folder / "model.safetensors").write_text("weig")
    assert (load_registered("champion") / "model.safetensors").read_text() == "weights 2"
    shutil.rmtree(three / "model-2")
    assert load_registered("champion") == folder
