"""`echosynth rollback` as a person meets it."""

import pytest

from echosynth import cli
from echosynth.registry import promotion
from echosynth.registry.decisions import Decision


def test_it_says_who_is_in_use_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def back(why: str) -> Decision:
        return Decision("rollback", True, "1", "2", "1", "a" * 32, "Ada", "2026-11-22T10:00:00.000000Z", why)

    monkeypatch.setattr(promotion, "rollback", back)
    assert cli.main(["rollback", "--reason", "it fails on clinic B"]) == 0
    assert capsys.readouterr().out == "version 1 is the champion again, version 2 the previous one\n"


def test_a_reason_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rollback", "--reason", " "]) == 1
    assert capsys.readouterr().err == "error: --reason is empty; say why, for the record\n"
    with pytest.raises(SystemExit):
        cli.main(["rollback"])
