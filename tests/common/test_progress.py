import io

import pytest

from echosynth.common import progress as module
from echosynth.common.progress import progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds pass between any two looks at the clock."""
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)))


def test_a_log_gets_a_line_now_and_then(clock, capsys):
    assert list(progress(range(3, 8), 8, "reading", "files", start=3)) == [3, 4, 5, 6, 7]
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        "reading: 5 of 8 files, 10 s each, 30 s left",
        "reading: 7 of 8 files, 10 s each, 10 s left",
    ]


def test_a_line_shows_images_too_where_an_item_stands_for_several(clock, capsys):
    assert list(progress(range(4), 4, "training", "steps", images_each=16)) == [0, 1, 2, 3]
    assert capsys.readouterr().err.splitlines()[0] == "training: 2 of 4 steps, 10 s each (2 images/s), 20 s left"


def test_quick_items_have_a_rate(monkeypatch, capsys):
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)) / 16)
    monkeypatch.setattr(module, "LINE_EVERY_SECONDS", 1.0)
    assert list(progress(range(4), 4, "reading", "files"))
    assert capsys.readouterr().err.splitlines()[0] == "reading: 2 of 4 files, 1.6/s, 1 s left"


def test_a_terminal_gets_a_bar(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(module.sys, "stderr", screen)
    assert list(progress("abc", 3, "reading")) == ["a", "b", "c"]
    assert "reading" in screen.getvalue()


def test_short_work_is_silent(capsys):
    assert list(progress([1, 2], 2, "reading")) == [1, 2]
    assert capsys.readouterr().err == ""


def test_a_worker_draws_no_bar_beside_those_of_others(monkeypatch, clock):
    screen = Screen()
    monkeypatch.setattr(module.sys, "stderr", screen)
    monkeypatch.setattr(module, "parent_process", lambda: object())
    assert list(progress("abcd", 4, "resnet18 real 100 seed 1"))
    assert screen.getvalue().splitlines() == ["resnet18 real 100 seed 1: 2 of 4 it, 10 s each, 20 s left"]
