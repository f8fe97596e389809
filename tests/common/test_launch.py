"""One process for each GPU."""

import subprocess
import sys

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.launch import PROCESSES, is_main_process, shared, wanted_processes


def test_one_process_does_the_work_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROCESSES, "1")
    assert shared("echosynth.stages.none", []) is None
    monkeypatch.setenv(PROCESSES, "4")
    monkeypatch.setenv("RANK", "2")  # it is one of several already
    assert shared("echosynth.stages.none", []) is None
    assert not is_main_process()


def test_several_processes_are_started_with_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def run(command: list[str], env: dict[str, str], check: bool) -> subprocess.CompletedProcess[bytes]:
        assert env[PROCESSES] == "1"  # they must not start others
        started.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv(PROCESSES, "4")
    assert shared("echosynth.stages.diffusion", ["400"]) == 3
    command = started[0]
    assert command[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert command[command.index("--local-addr") + 1] == "127.0.0.1"  # a name may be resolved nowhere
    assert command[command.index("--nproc-per-node") + 1] == "4"
    assert command[-3:] == ["-m", "echosynth.stages.diffusion", "400"]


@pytest.mark.parametrize("text", ["0", "two", "-1"])
def test_a_wrong_number_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(PROCESSES, text)
    with pytest.raises(EchosynthError, match=PROCESSES):
        wanted_processes()
