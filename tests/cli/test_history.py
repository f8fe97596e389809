"""`echosynth history` as a person and a script meet it."""

import json
from typing import Any

import pytest

from echosynth import cli
from echosynth.registry import decisions

HISTORY: dict[str, Any] = {
    "versions": [
        {
            "version": "2",
            "aliases": ["champion"],
            "created": "2026-11-22T10:00:00+00:00",
            "model_sha": "b",
            "scores": {"test.macro_f1": 0.9027},
        },
        {"version": "1", "aliases": [], "created": "2026-11-21T10:00:00+00:00", "model_sha": "a", "scores": {}},
    ],
    "decisions": [
        {
            "when": "2026-11-22T10:01:02.000000Z",
            "action": "promote",
            "version": "1",
            "before": None,
            "after": None,
            "who": "Ada",
            "accepted": False,
            "failed": ["macro F1", "recall of A2C"],
            "why": "a try",
        },
    ],
    "elsewhere": [],
}


def test_versions_then_decisions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(decisions, "history", lambda: HISTORY)
    assert cli.main(["history"]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said[0] == ["version", "aliases", "registered", "macro_f1"]
    assert said[1] == ["2", "champion", "2026-11-22T10:00", "0.903"]
    assert said[2] == ["1", "2026-11-21T10:00"]
    assert " ".join(said[5]) == (
        "2026-11-22T10:01:02 promote 1 none -> none Ada refused by macro F1, recall of A2C a try"
    )


def test_decisions_of_other_stores_stand_apart_without_their_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = HISTORY["decisions"][0] | {"accepted": True, "version": "7", "before": "6", "after": "7", "who": "Bob"}
    elsewhere = [
        other | {"model_sha": "0123456789abcdef", "held_as": ["1", "2"]},
        other | {"model_sha": "fedcba9876543210", "held_as": []},
    ]
    monkeypatch.setattr(decisions, "history", lambda: HISTORY | {"elsewhere": elsewhere})
    assert cli.main(["history"]) == 0
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert said[5].startswith("2026-11-22T10:01:02 promote 1 none -> none Ada")
    assert said[6:] == [
        "",
        "decided in another store, or on a version that was deleted here:",
        "when (UTC) decision model version here who outcome why",
        "2026-11-22T10:01:02 promote 01234567 1 2 Bob accepted a try",
        "2026-11-22T10:01:02 promote fedcba98 none Bob accepted a try",
    ]


def test_nothing_yet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(decisions, "history", lambda: {"versions": [], "decisions": [], "elsewhere": []})
    assert cli.main(["history"]) == 0
    assert capsys.readouterr().out.split("\n")[::2] == ["no version is registered", "nothing was decided yet"]


def test_json_for_machines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(decisions, "history", lambda: HISTORY)
    assert cli.main(["history", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == HISTORY
