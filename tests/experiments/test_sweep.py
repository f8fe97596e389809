"""How a sweep watches over the queue; with DVC itself in tests/pipeline/test_sweep.py."""

import io
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.experiments import queue, rows, sweep, workers
from echosynth.experiments.queue import Experiment
from echosynth.experiments.sweep import Failure, execute
from echosynth.tracking import closing


def plan(*names: str) -> list[Experiment]:
    return [Experiment(name, (f"sample.seed={number}",), (), "here", "") for number, name in enumerate(names)]


TWICE = Failure("failed twice (`dvc queue logs b` shows all)", ["error: the loss is nan"])


def test_each_runs_once_and_no_more_at_a_time_than_asked(fake: Any) -> None:
    assert execute(plan(*"abcdef"), 2) == {}
    assert fake.put_names == list("abcdef") == sorted(fake.results)
    assert fake.most == 2


def test_what_has_a_result_is_not_run_again(fake: Any) -> None:
    fake.results = {"a": (), "c": ()}
    assert execute(plan("a", "b", "c"), 1) == {}
    assert fake.put_names == ["b"]
    assert execute(plan("a", "b", "c"), 1) == {}
    assert fake.put_names == ["b"]


def test_what_an_earlier_call_queued_is_run_and_not_queued_again(fake: Any) -> None:
    fake.waiting, fake.running = ["b"], {"a": 3}
    assert execute(plan("a", "b", "c"), 1) == {}
    assert fake.put_names == ["c"]
    assert set(fake.results) == {"a", "b", "c"}


def test_what_a_killed_call_left_half_done_is_begun_again(fake: Any) -> None:
    fake.running, fake.orphans = {"a": 1}, {"a"}
    fake.ended, fake.logs = {"b"}, {"b": ["terminated"]}
    assert execute(plan("a", "b"), 1) == {}
    assert fake.put_names == ["a", "b"]


def test_a_failure_is_tried_once_more(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake.outcomes = {"b": ["failed", "done"]}
    assert execute(plan("a", "b"), 1) == {}
    assert fake.put_names == ["a", "b", "b"]
    assert "b failed and is tried once more" in capsys.readouterr().err


def test_what_fails_twice_is_returned_with_its_log_and_the_others_stay(fake: Any) -> None:
    fake.outcomes = {"b": ["failed"]}
    assert execute(plan("a", "b", "c"), 2) == {"b": TWICE}
    assert fake.put_names.count("b") == 2
    assert set(fake.results) == {"a", "c"}


@pytest.mark.parametrize(
    ("outcome", "what", "log"),
    [
        ("failed", "it failed", ["error: the loss is nan"]),
        ("orphan", "its worker is gone (see ", []),
        ("unborn", "DVC failed before the first stage (see ", []),
    ],
)
def test_a_retry_that_is_refused_leaves_the_others_alone(
    fake: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: str,
    what: str,
    log: list[str],
) -> None:
    fake.outcomes = {"a": [outcome]}
    put = queue.put

    def only_once(experiment: Experiment) -> None:
        if experiment.name in fake.put_names:
            raise EchosynthError("code changed since a was planned")
        put(experiment)

    monkeypatch.setattr(queue, "put", only_once)
    failed = execute(plan("a", "b"), 1)
    assert failed.keys() == {"a"} and failed["a"].log == log
    assert failed["a"].why.startswith(f"has no result: {what}")
    assert failed["a"].why.endswith(", and it could not be queued again: code changed since a was planned")
    assert set(fake.results) == {"b"}
    said = capsys.readouterr().err
    assert "tried once more" not in said and "begins again" not in said


def test_workers_that_meet_in_a_lock_of_git_do_not_count_as_a_failure(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.outcomes = {"a": ["unborn", "unborn", "unborn", "done"]}
    assert execute(plan("a"), 1) == {}
    said = capsys.readouterr().err
    assert said.count("a: DVC failed before the first stage; it begins again") == 3
    assert "failed and is tried once more" not in said
    fake.outcomes = {"b": ["unborn"]}
    failed = execute(plan("b"), 1)
    assert failed["b"].why.startswith("has no result after 5 attempts; at the last one DVC failed before the first")
    assert fake.put_names.count("b") == 5
    fake.outcomes = {"c": [*["unborn"] * 4, "failed"]}
    why = "has no result after 5 attempts; at the last one it failed"
    assert execute(plan("c"), 1) == {"c": Failure(why, ["error: the loss is nan"])}


def test_an_experiment_whose_worker_was_killed_is_begun_again_which_is_no_failure_of_its_own(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.outcomes = {"b": ["orphan", "failed", "orphan", "done"]}
    assert execute(plan("a", "b", "c"), 2) == {}
    assert set(fake.results) == {"a", "b", "c"}
    assert "b: its worker is gone; it begins again" in capsys.readouterr().err


def test_a_failure_that_only_seems_a_killed_worker_is_one_of_its_own(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.outcomes = {"b": ["seeming"]}
    assert execute(plan("b"), 1) == {"b": TWICE}
    assert fake.put_names == ["b", "b"]
    assert "killed" not in capsys.readouterr().err


def test_what_is_left_of_a_killed_attempt_is_ended_before_the_next(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    put = queue.put

    def close() -> list[str]:
        done.append("close")
        return []

    def noted(experiment: Experiment) -> None:
        done.append(f"put {experiment.name}")
        put(experiment)

    monkeypatch.setattr(workers, "end_orphans", lambda names: done.extend(f"end {name}" for name in names))
    monkeypatch.setattr(closing, "close_dead", close)
    monkeypatch.setattr(queue, "put", noted)
    fake.outcomes = {"a": ["orphan", "done"]}
    assert execute(plan("a"), 1) == {}
    assert done == ["end a", "put a", "end a", "close", "put a", "close"]


def test_a_store_that_does_not_answer_ends_no_sweep(
    fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: object) -> list[str]:
        raise EchosynthError("the server does not answer")

    monkeypatch.setattr(closing, "close_dead", unreachable)
    monkeypatch.setattr(rows, "settle", unreachable)
    fake.outcomes = {"a": ["failed", "done"]}
    assert execute(plan("a", "b"), 1) == {}
    assert set(fake.results) == {"a", "b"}
    assert "the server does not answer" in capsys.readouterr().err


def test_a_log_names_what_begins_once_for_each_attempt(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake.waiting, fake.outcomes = ["old"], {"b": ["failed", "done"]}
    assert execute(plan("a", "b", "c"), 1) == {}
    said = [line for line in capsys.readouterr().err.splitlines() if "runs now" in line]
    assert said == [
        "old runs now, 3 waiting",
        "a runs now, 2 waiting",
        "b runs now, 1 waiting",
        "c runs now, 0 waiting",
        "b runs now, 0 waiting",
    ]


def test_a_terminal_gets_a_line_below_the_bar_that_fits(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"learning_rate-0.0{number}_augment-0_seeds-0_subsets-all-0000000{number}" for number in range(3)]
    assert execute(plan(*names), 2) == {}
    shown = re.findall(r"\d waiting, running now: [^\r\n\x1b]*", screen.getvalue())
    assert max(map(len, shown)) < 80
    assert "1 waiting, running now: learning_rate-0.…00000000, learning_rate-0.…00000001" in "\n".join(shown)
    assert "runs now" not in screen.getvalue()


def test_what_another_call_left_in_the_queue_is_named(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake.waiting = ["old", "b"]
    assert execute(plan("a", "b"), 1) == {}
    said = capsys.readouterr().err
    assert "old: queued by another call, and run first; `dvc queue remove NAME`" in said
    assert execute(plan("c"), 1) == {}
    assert "queued by another call" not in capsys.readouterr().err


def test_what_another_call_left_without_a_worker_is_named_and_stays(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.running, fake.orphans = {"old": 1}, {"old"}
    assert execute(plan("a"), 1) == {}
    said = capsys.readouterr().err
    assert "old: DVC shows it as running, but its queue worker is gone; `dvc queue kill old` marks it" in said
    assert fake.orphans == {"old"}


def test_rows_are_seen_to_of_all_and_what_ran_now_without_one_is_named(
    fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[list[str], list[str]]] = []
    closed: list[str] = []

    def settle(kept: Collection[str], lost: Collection[str]) -> list[str]:
        seen.append((list(kept), list(lost)))
        return ["a", "c"]

    monkeypatch.setattr(rows, "settle", settle)
    monkeypatch.setattr(closing, "close_dead", lambda: closed)
    fake.results, fake.outcomes = {"a": ()}, {"b": ["failed"]}
    assert set(execute(plan("a", "b", "c"), 1)) == {"b"}
    assert seen == [(["a", "c"], ["b"])]
    said = capsys.readouterr().err
    assert "\nc: DVC took everything from its cache, so there is no new row in MLflow" in said

    # A call that was killed may have left something behind even where nothing is left to run.
    closed.append("train 10")
    assert execute(plan("a", "c"), 1) == {}
    assert seen[1:] == [(["a", "c"], [])]
    said = capsys.readouterr().err
    assert "the run train 10 of a killed process is marked as failed" in said and "cache" not in said


def test_copies_go_at_the_start_and_at_the_end_even_of_a_stopped_sweep(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def stopped() -> queue.QueueState:
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "remove_copies", lambda: calls.append(list(fake.put_names)))
    assert execute(plan("a"), 1) == {}
    monkeypatch.setattr(sweep, "_events", lambda *_: iter([stopped()]))
    with suppress(KeyboardInterrupt):
        execute(plan("b"), 1)
    assert calls == [[], ["a"], ["a"], ["a", "b"]]


def test_workers_that_die_again_and_again_are_given_up(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying:
        died = 0

        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> "Dying":
            return self

        def __exit__(self, *_: object) -> None: ...

        def keep(self, queued: int) -> None:
            self.died += 1

    monkeypatch.setattr(sweep, "Workers", Dying)
    with pytest.raises(EchosynthError, match="workers end again and again"):
        execute(plan("a"), 1)


def test_a_kill_at_any_moment_loses_nothing(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state = queue.state
    looks: Iterator[int] = iter(())

    def counted() -> queue.QueueState:
        if next(looks, None) is None:
            raise KeyboardInterrupt
        return state()

    monkeypatch.setattr(queue, "state", counted)
    for moment in range(12):
        looks = iter(range(moment))
        with suppress(KeyboardInterrupt):
            execute(plan(*"abcd"), 2)
        fake.orphans |= set(fake.running)  # its workers went with it
    looks = iter(range(1000))
    assert execute(plan(*"abcd"), 2) == {}
    assert sorted(fake.results) == list("abcd")


def test_a_score_that_is_missing_is_named_at_the_first_result(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake.scores = lambda overrides: {"test.macro_f1": 0.5}
    assert execute(plan("a", "b"), 1, score="auprc.mixed_7") == {}
    assert capsys.readouterr().err.count("has a result without auprc.mixed_7") == 1
    assert execute(plan("c"), 1, score="test.macro_f1") == {}
    assert "without" not in capsys.readouterr().err
