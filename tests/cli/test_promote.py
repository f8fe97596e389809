"""`echosynth promote` as a person and a script meet it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from echosynth import cli
from echosynth.registry import promotion
from echosynth.registry.decisions import Decision
from echosynth.registry.gates import NOT_GIVEN, Gate

ROOT = Path(__file__).parents[2]
GATES = [Gate("macro F1", "at least 0.8", "0.903", True), Gate("recall of A2C", "at least 0.5", "0.438", False)]
REFUSED = Decision(
    action="promote",
    accepted=False,
    version="3",
    before="2",
    after="2",
    model_sha="a" * 32,
    who="Ada",
    when="2026-11-22T10:00:00.000000Z",
    why="",
    gates=GATES,
    notes=["version 2 comes from another split"],
)
ACCEPTED = replace(REFUSED, accepted=True, after="3", gates=GATES[:1], notes=[])


@pytest.fixture
def decide(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Decisions to come; each call of `promote` takes one and leaves what it was asked."""
    monkeypatch.chdir(ROOT)
    queue: list[Any] = []

    def take(params: Any, which: Any, why: str, *, dry_run: bool) -> Decision:
        decision: Decision = queue.pop()
        queue.append((which, why, dry_run))
        return decision

    monkeypatch.setattr(promotion, "promote", take)
    return queue


def test_a_refusal_prints_the_table_and_names_the_gate(decide: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    decide.append(REFUSED)
    assert cli.main(["promote"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "gate           limit         found  passed",
        "macro F1       at least 0.8  0.903  yes",
        "recall of A2C  at least 0.5  0.438  NO",
        "note: version 2 comes from another split",
    ]
    assert err == "error: version 3 is refused by: recall of A2C; version 2 stays champion\n"
    assert decide == [(None, "", False)]


def test_a_score_that_is_not_given_is_named_with_its_reason(
    decide: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    gate = Gate("macro F1", "at least 0.8", f"{NOT_GIVEN}images of A4C alone", False)
    decide.append(replace(REFUSED, gates=[gate, GATES[1]], notes=[]))
    assert cli.main(["promote"]) == 1
    said = "macro F1 (not given: the test set has images of A4C alone), recall of A2C"
    assert capsys.readouterr().err == f"error: version 3 is refused by: {said}; version 2 stays champion\n"


def test_a_reason_is_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert cli.main(["promote"]) == 1
    assert capsys.readouterr().err == "error: --reason is empty; say why, for the record\n"


def test_an_acceptance_says_who_went(decide: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    decide.append(ACCEPTED)
    assert cli.main(["promote", "3", "--reason", "better"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "version 3 is the champion now, version 2 the previous one"
    assert err == ""
    assert decide == [("3", "better", False)]


def test_the_first_champion_and_a_refusal_without_one(decide: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    decide.append(replace(ACCEPTED, before=None))
    assert cli.main(["promote"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "version 3 is the champion now"
    decide.append(replace(REFUSED, before=None, after=None))
    assert cli.main(["promote"]) == 1
    assert capsys.readouterr().err.endswith("there is no champion\n")


def test_a_dry_run_says_that_nothing_changed(decide: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    decide.append(ACCEPTED)
    assert cli.main(["promote", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "version 3 passes every gate; nothing was changed"
    assert decide == [(None, "", True)]


def test_json_for_machines(decide: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    decide.append(REFUSED)
    assert cli.main(["promote", "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert (content["accepted"], content["failed"], content["dry_run"]) == (False, ["recall of A2C"], False)
    assert content["gates"][0] == {"name": "macro F1", "limit": "at least 0.8", "value": "0.903", "passed": True}


def test_what_a_killed_promotion_left_is_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for holder, words in (("Bob", "removed the claim of Bob\n"), (None, "nobody holds the registry\n")):
        monkeypatch.setattr(promotion, "unlock", lambda holder=holder: holder)
        assert cli.main(["promote", "--unlock"]) == 0
        assert capsys.readouterr().out == words
