"""Versions in the registry, as they are listed and found."""

from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.registry.versions import CARD_SHA, CHAMPION, NAME, SHA, aliases, champion, find, newest, versions


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
