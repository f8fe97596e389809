"""The command that compares revisions; the comparison itself is in tests/report/changes/test_page.py."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from echosynth import cli
from echosynth.report.changes import page as changes
from echosynth.report.changes import states as changes_inputs


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The states that were looked up."""
    names: list[str] = []

    def find(name: str) -> SimpleNamespace:
        names.append(name)
        return SimpleNamespace(name=name)

    monkeypatch.setattr(changes_inputs, "find_state", find)
    monkeypatch.setattr(changes_inputs, "working_tree", lambda: find("here"))
    monkeypatch.setattr(changes, "render_page", lambda old, new: f"# {old.name} and {new.name}\n")
    return names


def test_the_working_tree_is_compared_and_the_page_printed(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", "main"]) == 0
    assert capsys.readouterr().out == "# main and here\n"
    assert cli.main(["compare", "main", "--to", "longer"]) == 0
    assert capsys.readouterr().out == "# main and longer\n"
    assert asked == ["main", "here", "main", "longer"]


def test_a_folder_is_written_and_what_is_missing_said(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    seen = []

    def write(old: SimpleNamespace, new: SimpleNamespace, folder: Path) -> list[str]:
        seen.append((old.name, new.name, folder))
        return ["a is not here; run b"]

    monkeypatch.setattr(changes, "write_page", write)
    assert cli.main(["compare", "main", "--out", str(tmp_path / "out")]) == 0
    assert seen == [("main", "here", tmp_path / "out")]
    assert capsys.readouterr() == (
        f"the comparison: {tmp_path / 'out' / 'report.md'}\n",
        "not shown: a is not here; run b\n",
    )


def test_a_refusal_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert cli.main(["compare", "main"]) == 1
    assert capsys.readouterr().err.startswith("error: `git rev-parse` failed (fatal: not a git repository")
