"""Classifiers from the registry, as whoever uses them gets them."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.registry.pretended import add_version

from echosynth.common.errors import EchosynthError
from echosynth.registry.copies import load_registered
from echosynth.registry.versions import CHAMPION, NAME
from echosynth.serving.packaging import ARTIFACT
from echosynth.tracking import store


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
    with pytest.raises(EchosynthError, match=f"version 2 of {NAME} is damaged in the MLflow store: its {file} is not"):
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


def test_a_copy_is_found_without_mlflow(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = {which: load_registered(which) for which in (CHAMPION, "3")}
    monkeypatch.setattr(store, "client", None)  # whoever asks MLflow fails
    assert {which: load_registered(which) for which in copies} == copies
    assert load_registered("2") == copies[CHAMPION]
    for which in ("1", "previous", "latest", "v2"):  # no copy, no such alias, names of MLflow's own
        with pytest.raises(TypeError, match="not callable"):
            load_registered(which)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{three / 'other.db'}")  # somebody's choice: not read
    with pytest.raises(TypeError, match="not callable"):
        load_registered("3")


def test_a_copy_follows_the_registry(three: Path) -> None:
    first = load_registered(CHAMPION)
    store.client().set_registered_model_alias(NAME, CHAMPION, "1")
    assert (load_registered(CHAMPION) / "model.safetensors").read_text() == "weights 1"
    assert (first / "model.safetensors").read_text() == "weights 2"
    store.client().delete_model_version(NAME, "2")
    with pytest.raises(EchosynthError, match=r"no 2 of .*versions there: 1, 3"):
        load_registered("2")


def test_a_database_that_says_nothing_is_left_to_mlflow(three: Path) -> None:
    load_registered(CHAMPION)
    with closing(sqlite3.connect(three / "mlflow.db")) as database:
        database.execute("ALTER TABLE registered_model_aliases RENAME TO other")
    with pytest.raises(EchosynthError, match=r"MLflow at sqlite:.* cannot be used"):
        load_registered(CHAMPION)
