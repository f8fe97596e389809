"""Git as the package calls it: what it prints, and what is said when it fails."""

from pathlib import Path

import pytest

from echosynth.common import git
from echosynth.common.errors import EchosynthError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def test_output_is_bytes_and_text_without_white_space() -> None:
    git.output("init", "-q")
    assert git.output("hash-object", "--stdin", given="a") == b"2e65efe2a145dda7ee51d1741299f848e5bf752e\n"
    assert git.text("hash-object", "--stdin", given="a") == "2e65efe2a145dda7ee51d1741299f848e5bf752e"


def test_bytes_that_are_no_text_are_replaced(folder: Path) -> None:
    git.output("init", "-q")
    (folder / "a").write_bytes(b"\xff")
    object_ = git.text("hash-object", "-w", "a")
    assert git.output("cat-file", "blob", object_) == b"\xff"
    assert git.text("cat-file", "blob", object_) == "\ufffd"


def test_a_failure_is_one_sentence_or_another_answer() -> None:
    with pytest.raises(EchosynthError, match=r"^`git status` failed \(fatal: not a git repository.*run from the"):
        git.text("status")
    assert git.text_or("none", "status") == "none"
    with pytest.raises(EchosynthError, match="zero byte"):
        git.output("rev-parse", "a\0b")


def test_a_folder_of_somebody_else_comes_with_git_s_own_remedy(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    git.output("init", "-q")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(folder))  # without the exceptions of whoever runs the tests
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    with pytest.raises(EchosynthError, match=rf"`git config --global --add safe\.directory {folder}`$"):
        git.text("status")


def test_a_machine_without_git_is_told_so(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(EchosynthError, match="git is missing"):
        git.text("status")
