"""`echosynth register` as a person meets it."""

from pathlib import Path

import pytest

from echosynth import cli
from echosynth.registry import register
from echosynth.registry.register import RegisteredVersion


@pytest.mark.parametrize(("created", "words"), [(True, "registered as"), (False, "was registered before as")])
def test_it_says_which_version_it_is_and_what_comes_next(
    created: bool, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = RegisteredVersion("echo-view-classifier", "3", "a" * 32, "r" * 32, created)
    monkeypatch.setattr(register, "register_final", lambda: found)
    assert cli.main(["register"]) == 0
    said = capsys.readouterr().out
    assert said == f"{words} version 3 of echo-view-classifier; `echosynth promote 3` puts it into use\n"


def test_without_a_final_model_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["register"]) == 1
    assert capsys.readouterr().err == "error: reports/final/metrics.json is missing; run `dvc repro` to make it\n"
