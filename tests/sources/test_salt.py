import re
from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import read_salt, salt_id

SECRET = "a long random text"


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace, and below it the copy of the tree in which an experiment runs, without what git ignores."""
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_the_secret_is_found_in_the_workspace_of_an_experiment(experiment: Path) -> None:
    (experiment / "data").mkdir()
    (experiment / "data/salt").write_text(f"{SECRET}\n")
    assert read_salt("data/salt", salt_id(SECRET)) == SECRET
    assert read_salt(str(experiment / "data/salt"), salt_id(SECRET)) == SECRET


def test_another_secret_is_refused_with_what_to_set(experiment: Path) -> None:
    (experiment / "salt").write_text(SECRET)
    with pytest.raises(EchosynthError, match=rf"data\.salt_id: .*salt holds another .* to {salt_id(SECRET)} and read"):
        read_salt("salt", "aaaaaaaa")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe\x00"])
def test_no_secret_is_named(experiment: Path, content: bytes | None) -> None:
    if content is not None:
        (experiment / "salt").write_bytes(content)
    with pytest.raises(EchosynthError, match=r"data\.salt_file: .*salt is"):
        read_salt("salt", "aaaaaaaa")


def test_ids_are_letters_that_yaml_leaves_alone_and_differ() -> None:
    found = {salt_id(str(number)) for number in range(500)}
    assert len(found) == 500
    assert all(re.fullmatch("[a-p]{8}", each) for each in found)
