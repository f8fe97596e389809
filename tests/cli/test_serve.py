"""`echosynth serve` on the command line; `tests/serving/test_server.py` starts one."""

from pathlib import Path
from typing import Any

import pytest

from echosynth import cli
from echosynth.cli.shared import DISCLAIMER
from echosynth.serving import server
from echosynth.serving.options import MAX_BODY, SERVED


def test_options_reach_the_server(
    classifier_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(server, "application", lambda *what: seen.append(what))
    monkeypatch.setattr(server, "serve", lambda app, taken: None)
    model = ["serve", "--model", str(classifier_folder), "--port", "0"]
    assert cli.main(model) == 0
    assert cli.main([*model, "--memory", "300", "--seconds", "3", "--pixels", "7", "--megabytes", "2"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith(f"{classifier_folder} answers at http://127.0.0.1:")
    assert err.splitlines() == [DISCLAIMER] * 2
    (_, limits, most), (_, others, fewer) = seen
    assert (limits, most) == (SERVED, MAX_BODY)
    assert others == SERVED.model_copy(update={"memory": 300, "seconds": 3, "pixels": 7})
    assert fewer == 2 << 20


def test_a_port_in_use_and_a_model_that_is_not_there(
    classifier_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.listening("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert cli.main(["serve", "--model", str(classifier_folder), "--port", port]) == 1
        assert f"--host 127.0.0.1 --port {port} cannot be used" in capsys.readouterr().err
    assert cli.main(["serve", "--model", "no/such/folder", "--port", "0"]) == 1
    assert "there is no no/such/folder" in capsys.readouterr().err


def test_ctrl_c_ends_it_without_a_trace(
    classifier_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "application", lambda *what: None)
    monkeypatch.setattr(server, "serve", interrupted)
    assert cli.main(["serve", "--model", str(classifier_folder), "--port", "0"]) == 130
    assert capsys.readouterr().err.splitlines() == [DISCLAIMER]
