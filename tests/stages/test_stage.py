"""How stages end."""

from pathlib import Path

import pytest

from echosynth.config import Params
from echosynth.errors import EchosynthError
from echosynth.stages import stage

ROOT = Path(__file__).parents[2]


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


def test_wrong_parameters_stop_before_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "params.yaml").read_text().replace("min_snr_gamma: 5.0", "min_snr_gamma: -1")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    ran = []
    with pytest.raises(SystemExit, match=r"diffusion\.min_snr_gamma = -1 is not allowed"):
        stage(lambda params: ran.append(1))()
    assert not ran


@pytest.mark.parametrize("error", [EchosynthError("the file x is missing"), KeyboardInterrupt()])
def test_a_failure_is_told_to_the_row_of_the_execution(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage"])
    told: list[BaseException] = []

    def fail_parent(error: BaseException) -> None:
        told.append(error)
        raise OSError("and this must not hide the first one")

    def work(params: Params) -> None:
        raise error

    monkeypatch.setattr("echosynth.track.runs.fail_parent", fail_parent)
    with pytest.raises(SystemExit if isinstance(error, EchosynthError) else KeyboardInterrupt):
        stage(work)()
    assert told == [error]
