"""How stages end."""

import errno
import shutil
import sys
import threading
from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.stages import stage

ROOT = Path(__file__).parents[2]
Told = list[tuple[BaseException, str, bool]]


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the row of the execution is told: error, stage, and whether the sentence is private."""
    heard: Told = []

    def fail_parent(error: BaseException, stage: str, *, private: bool = False) -> None:
        heard.append((error, stage, private))
        raise OSError("and this must not hide the first one")

    monkeypatch.setattr("echosynth.tracking.runs.fail_parent", fail_parent)
    return heard


def test_words_of_the_command_line_reach_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage", "real", "150"])
    seen = []
    stage(lambda params, *words: seen.append((isinstance(params, Params), *words)))()
    assert seen == [(True, "real", "150")]


def test_a_known_error_is_one_sentence_and_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage"])

    def work(params: Params) -> None:
        raise EchosynthError("the file x is missing")

    with pytest.raises(SystemExit, match=r"^error: the file x is missing$"):
        stage(work)()


def test_wrong_parameters_stop_before_the_stage_and_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    text = (ROOT / "params.yaml").read_text().replace("min_snr_gamma: 5.0", "min_snr_gamma: -1")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    ran = []
    with pytest.raises(SystemExit, match=r"diffusion\.min_snr_gamma = -1 is not allowed"):
        stage(lambda params: ran.append(1))()
    assert not ran
    [(error, _, private)] = told
    assert "diffusion.min_snr_gamma = -1 is not allowed" in str(error)
    assert not private


def test_a_full_disk_is_one_sentence_on_the_terminal_and_in_the_row(
    monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage"])

    def work(params: Params) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "models/a")

    sentence = "cannot write models/a: the disk is full; free some room and run again"
    with pytest.raises(SystemExit, match=f"^error: {sentence}$"):
        stage(work)()
    assert [str(error) for error, *_ in told] == [sentence]


@pytest.mark.parametrize("error", [EchosynthError("the file x is missing"), KeyboardInterrupt()])
def test_a_failure_is_told_to_the_row_of_the_execution(
    monkeypatch: pytest.MonkeyPatch, told: Told, error: BaseException
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage"])

    def work(params: Params) -> None:
        raise error

    with pytest.raises(SystemExit if isinstance(error, EchosynthError) else KeyboardInterrupt):
        stage(work)()
    assert told == [(error, "test_stage", False)]


@pytest.mark.parametrize("name", ["phantom", "screen", "ingest", "card"])
def test_stages_of_raw_files_keep_their_sentences_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, told: Told, name: str
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage", "unity"])

    def work(params: Params, source: str) -> None:
        raise EchosynthError("Jane Doe.dcm is torn")

    work.__module__ = f"echosynth.stages.{name}"
    with pytest.raises(SystemExit, match=r"^error: Jane Doe.dcm is torn$"):
        stage(work)()
    [(_, stage_name, private)] = told
    assert (stage_name, private) == (name, True)


def test_a_stage_that_ends_by_a_status_tells_nothing(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage"])
    with pytest.raises(SystemExit):
        stage(lambda params: sys.exit(3))()
    assert not told


def test_a_stage_waits_for_itself_and_for_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for one that is still at work after the `dvc` above it was killed."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage", "150"])
    began, go, done = threading.Event(), threading.Event(), []

    def first(params: Params, size: str) -> None:
        began.set()
        go.wait(60)
        done.append("first")

    def second(params: Params, size: str) -> None:
        done.append("second")

    one = threading.Thread(target=stage(first))
    one.start()
    began.wait(60)
    two = threading.Thread(target=stage(second))
    two.start()
    while "waiting for another run that does the same work (.resume/stage-" not in capsys.readouterr().err:
        assert two.is_alive()
    monkeypatch.setattr("sys.argv", ["stage", "400"])
    stage(lambda params, size: done.append(f"of {size}"))()
    assert done == ["of 400"]
    go.set()
    one.join()
    two.join()
    assert done == ["of 400", "first", "second"]
