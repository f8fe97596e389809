"""Searches: the same trials wherever they were interrupted, one experiment each, nothing lost."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.experiments import search as module
from echosynth.experiments.search import Space, read_space, search
from echosynth.experiments.sweep import Failure, execute

pytest.importorskip("optuna", reason="needs requirements-extra.txt")

SPACE = """
parameters:
  classifier.learning_rate: {low: 0.001, high: 0.1, log: true}
  classifier.steps: {low: 10, high: 50, step: 10}
  split.subsets: [[100, all], [all]]
score: best.validation_macro_auprc
"""
Write = Callable[[str], Path]


def scored(overrides: tuple[str, ...]) -> dict[str, float]:
    """Best at a learning rate of 0.01."""
    rate = float(overrides[0].partition("=")[2])
    return {"best.validation_macro_auprc": 1 - abs(rate - 0.01), "test.macro_auprc": 0.5}


@pytest.fixture
def space(base: dict[str, Any], write: Write, fake: Any) -> Space:
    fake.scores = scored
    return read_space(write(SPACE), base)


def test_one_experiment_a_trial_within_the_space(space: Space, fake: Any) -> None:
    rows = search(space, 6)
    assert len(rows) == len({row.name for row in rows}) == len(fake.put_names) == 6
    for row in rows:
        assert 0.001 <= row.values["classifier.learning_rate"] <= 0.1
        assert row.values["classifier.steps"] in (10, 20, 30, 40, 50)
        assert row.values["split.subsets"] in ([100, "all"], ["all"])
        assert row.scores["best.validation_macro_auprc"] == pytest.approx(
            1 - abs(row.values["classifier.learning_rate"] - 0.01)
        )
    assert fake.overrides[rows[0].name][2] in ("split.subsets=[100,'all']", "split.subsets=['all']")


def test_called_again_it_goes_on_to_the_same_trials(
    space: Space, fake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_once = search(space, 14)  # past the random ones at the start
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
    fake.results.clear()
    search(space, 3)
    search(space, 12)
    assert len(search(space, 12)) == 12
    assert search(space, 14) == at_once


def test_a_failed_trial_is_recorded_and_the_search_goes_on(
    space: Space, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.outcomes = _Always("failed")
    rows = search(space, 2)
    assert [row.scores for row in rows] == [{}, {}]
    why = f"{rows[0].name} failed twice (`dvc queue logs {rows[0].name}` shows all): error: the loss is nan\n"
    assert f"trial 0 failed: {why}" in capsys.readouterr().err
    fake.outcomes = {}
    assert [bool(row.scores) for row in search(space, 4)] == [False, False, True, True]


class _Always(dict[str, list[str]]):
    def __init__(self, outcome: str) -> None:
        self.outcome = outcome

    def get(self, key: str, default: Any = None) -> Any:
        return [self.outcome]


def test_a_result_without_the_score_is_a_failed_trial(
    space: Space, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.scores = lambda overrides: {"test.macro_auprc": 0.5}
    assert search(space, 1)[0].scores == {}
    assert "has no best.validation_macro_auprc in reports/metrics.json" in capsys.readouterr().err


def test_a_killed_trial_is_taken_up(space: Space, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> dict[str, Failure]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "execute", killed)
        search(space, 3)
    assert fake.put_names == []
    rows = search(space, 3)
    assert len(rows) == 3 and all(row.scores for row in rows)


def test_with_another_state_of_the_code_it_starts_anew_and_says_so(
    space: Space, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first = search(space, 2)
    assert "starts anew" not in capsys.readouterr().err
    fake.origin = "there"
    second = search(space, 2)
    assert "grid.yaml: the space, params.yaml, the commit, code or data are others" in capsys.readouterr().err
    assert not {row.name for row in first} & {row.name for row in second} and len(fake.put_names) == 4
    fake.origin = "here"
    assert search(space, 2) == first


def test_a_change_of_the_code_meanwhile_ends_it_and_mixes_no_scores(
    space: Space, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited(*words: Any) -> dict[str, Failure]:
        fake.origin = "there"
        return execute(*words)

    with monkeypatch.context() as patch, pytest.raises(EchosynthError, match="changed during the search"):
        patch.setattr(module, "execute", edited)
        search(space, 3)
    fake.origin = "here"
    assert len(search(space, 1)) == 1


def test_a_combination_that_is_not_allowed_is_a_failed_trial(
    base: dict[str, Any], write: Write, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "parameters:\n  ingest.size: [16, 64]\n  arms.architectures: [[resnet18], [vgg16]]\n"
    with pytest.raises(EchosynthError, match=r"needs ingest\.size of at least 32"):
        read_space(write(text), base)  # one that no other choice could make right is refused at once
    text = "parameters:\n  diffusion.view_dropout: [0.0, 0.1]\n  sample.guidance: {low: 1.2, high: 3}\n"
    fake.scores = lambda overrides: {"best.validation_macro_auprc": 0.5}
    rows = search(read_space(write(text), base), 8)
    failed = [row.values["diffusion.view_dropout"] == 0.0 for row in rows]
    assert any(failed) and failed == [not row.scores for row in rows]
    assert "view_dropout above 0" in capsys.readouterr().err


def test_spaces_never_meet(space: Space, base: dict[str, Any], write: Write) -> None:
    others = [
        read_space(write(SPACE.replace("0.1,", "0.2,")), base),
        read_space(write(SPACE + "seed: 1"), base),
        read_space(write(SPACE + "direction: minimize"), base),
        read_space(write(SPACE), base | {"sample": base["sample"] | {"seed": 99}}),
    ]
    assert len({space.study_name("here"), *(other.study_name("here") for other in others)}) == 5
    assert space.study_name("there") != space.study_name("here")
    same = write(SPACE + "# a comment\ncolumns: [test.macro_f1]")
    assert read_space(same, base).study_name("here") == space.study_name("here")


def test_two_at_once_do_not_take_each_other_s_trials(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    def inside(*_: object) -> dict[str, Failure]:
        search(space, 1)
        return {}

    monkeypatch.setattr(module, "execute", inside)
    with pytest.raises(EchosynthError, match=r"grid.yaml is being searched by another process"):
        search(space, 1)


def test_without_optuna_one_sentence_says_what_to_install(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(EchosynthError, match=r"pip install -r requirements-extra.txt"):
        search(space, 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("parameters: {classifier.augment: [0.1]}", "classifier.augment needs two or more choices"),
        ("parameters: {classifier.augment: [0, 0.0]}", "classifier.augment holds a choice twice"),
        ("parameters: {classifier.augment: 0.1}", "classifier.augment needs a list of choices, or low and high"),
        (
            "parameters: {classifier.augment: {low: 0, hig: 1}}",
            "classifier.augment needs a list of choices, or low and high",
        ),
        ("parameters: {classifier.augment: {low: 0, high: a}}", "high of classifier.augment = 'a' is no number"),
        ("parameters: {classifier.augment: {low: 1, high: 0}}", "low of classifier.augment has to be below high"),
        ("parameters: {classifier.augment: {low: 0, high: 1, log: true}}", "needs low above 0 and no step"),
        ("parameters: {classifier.augment: {low: 0, high: 1, log: 1}}", "log of classifier.augment = 1 is not allowed"),
        (
            "parameters: {classifier.augment: {low: 0, high: 1, step: 0}}",
            "step of classifier.augment has to be above 0",
        ),
        ("parameters: {classifier.augment: {low: 0, high: 2}}", "classifier.augment = 2.0 is not allowed"),
        ("parameters: {classifier.steps: {low: 1.5, high: 3}}", "classifier.steps = 1.5 is not allowed"),
        ("parameters: {classifier.augment: {low: 0, high: 1}}\nseed: -1", "seed = -1 is no whole number"),
    ],
)
def test_what_is_wrong_is_named(base: dict[str, Any], write: Write, text: str, sentence: str) -> None:
    with pytest.raises(EchosynthError, match=f"grid.yaml.*{re.escape(sentence)}"):
        read_space(write(text), base)
