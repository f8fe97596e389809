"""Versions in the registry, as they are listed and found."""

from pathlib import Path

import pytest
from tests.registry.pretended import add, refused

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.registry.promotion import promote, rollback
from echosynth.registry.versions import (
    CARD_SHA,
    CHAMPION,
    NAME,
    SHA,
    aliases,
    champion,
    check_stored,
    find,
    newest,
    versions,
)
from echosynth.serving.manifest import PACKAGE_SHA, write_manifest
from echosynth.tracking import store


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


def listed(number: str) -> Path:
    """Give a version what `echosynth.registry.register` gives it besides: code, and the tag of the list; its folder."""
    folder = Path(find(number).source.removeprefix("file://"))
    (folder / "code").mkdir()
    (folder / "code" / "served.py").write_text("answer = 1\n")
    store.client().set_model_version_tag(NAME, number, PACKAGE_SHA, write_manifest(folder))
    return folder


def test_a_version_is_checked_with_its_code(three: Path) -> None:
    folder = listed("2")
    for number in ("1", "2"):  # 1 is from before there were lists
        check_stored(find(number))
    (folder / "code" / "served.py").write_text("answer = 2\n")
    refused(f"version 2 of {NAME} is damaged: its file code/served.py is not the", lambda: check_stored(find("2")))
    write_manifest(folder)  # whoever edits the list too cannot edit the tag
    refused(f"version 2 of {NAME} is damaged: its file manifest.json is not the", lambda: check_stored(find("2")))
    (folder / "manifest.json").unlink()
    refused(f"version 2 of {NAME} is damaged: its file manifest.json is missing", lambda: check_stored(find("2")))


def test_a_version_with_edited_code_is_neither_promoted_nor_gone_back_to(project: Path, params: Params) -> None:
    folders = [listed(add(skill)) for skill in (0.9, 0.95, 0.97)]
    assert promote(params, "1", "a test").accepted
    assert promote(params, "2", "a test").accepted
    for folder in (folders[0], folders[2]):
        (folder / "code" / "served.py").write_text("answer = 2\n")
    refused(r"version 3 .* is damaged: its file code/served\.py", lambda: promote(params, "3", "a test"))
    refused(r"version 1 .* is damaged: its file code/served\.py", lambda: rollback("a test"))
