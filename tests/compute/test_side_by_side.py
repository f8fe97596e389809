"""Work in several processes, of which some fail, are killed, or lose the one that started them."""

import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import joblib
import psutil
import pytest
import torch
from tests.killing import DEADLINE, kill, wait_dead

from echosynth.common.errors import EchosynthError
from echosynth.common.launch import PROCESSES
from echosynth.compute import side_by_side as module
from echosynth.compute.device import pick_device
from echosynth.compute.side_by_side import side_by_side

TASKS = {f"task {number}": number for number in range(5)}


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # which `make test` sets


def note(folder: Path, number: int) -> None:
    """Leave behind who did it, with how many threads and on which device; the first of two waits for the second."""
    (folder / str(number)).write_text(f"{os.getpid()} {torch.get_num_threads()} {pick_device()}")
    while number == 0 and not (folder / "1").exists():
        time.sleep(0.01)


def noted(folder: Path) -> list[list[str]]:
    return [path.read_text().split() for path in sorted(folder.iterdir())]


def wait_for(paths: list[Path]) -> list[psutil.Process]:
    """The processes whose numbers these files hold, as soon as they are there."""
    until = time.monotonic() + DEADLINE
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < until
        time.sleep(0.01)
    return [psutil.Process(int(path.read_text())) for path in paths]


def stand(folder: Path, number: int) -> None:
    """Wait for ever."""
    (folder / f"{number}.part").write_text(str(os.getpid()))
    (folder / f"{number}.part").rename(folder / str(number))
    time.sleep(DEADLINE)


def fail(folder: Path, how: str, number: int) -> None:
    """The second task fails as soon as the first one is at work, which waits for ever."""
    if number == 0:
        stand(folder, number)
    wait_for([folder / "0"])
    if how in ("killed", "told to go"):
        os.kill(os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGTERM)
    if how == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "a.npy")
    raise EchosynthError("too hot; cool it") if how == "sentence" else ZeroDivisionError("by nought")


def test_a_process_for_each_core_takes_one_task_after_another_with_one_thread(tmp_path: Path) -> None:
    side_by_side(partial(note, tmp_path), TASKS)
    found = noted(tmp_path)
    assert len(found) == 5 and len({pid for pid, *_ in found}) == 2
    assert {(threads, device) for _, threads, device in found} == {("1", "cpu")}
    assert str(os.getpid()) not in {pid for pid, *_ in found}


@pytest.mark.parametrize("why", ["one core", "the environment", "one task"])
def test_where_one_process_is_enough_this_one_does_all_with_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "one core":
        monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    if why == "the environment":
        monkeypatch.setenv(PROCESSES, "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    side_by_side(partial(note, tmp_path), {"a": 1} if why == "one task" else {"a": 1, "b": 2})
    assert {(pid, count) for pid, count, _ in noted(tmp_path)} == {(str(os.getpid()), "1")}
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


@pytest.mark.parametrize("tasks", [{"a": 1}, {"a": 1, "b": 2}])
def test_the_number_of_threads_that_somebody_asks_for_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tasks: dict[str, int]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # as torch does when it is imported with that variable
    side_by_side(partial(note, tmp_path), tasks)
    torch.set_num_threads(threads)
    assert [count for _, count, _ in noted(tmp_path)] == ["2"] * len(tasks)


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    side_by_side(partial(note, tmp_path), {})
    assert not noted(tmp_path)


def test_each_gpu_has_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert module._method([]) == "spawn"  # CUDA does not survive a fork
    monkeypatch.setattr(joblib, "cpu_count", lambda: 6)
    monkeypatch.setattr(module, "_method", lambda imports: "fork")  # so that they see the devices that are not there
    side_by_side(partial(note, tmp_path), TASKS)
    found = {(pid, device) for pid, _, device in noted(tmp_path)}
    assert len(found) == 2 and {device for _, device in found} == {"cuda:0", "cuda:1"}
    assert {threads for _, threads, _ in noted(tmp_path)} == {"3"}
    assert "LOCAL_RANK" not in os.environ


@pytest.mark.slow
def test_processes_may_be_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_method", lambda imports: "spawn")
    side_by_side(partial(note, tmp_path), TASKS)
    assert len({pid for pid, *_ in noted(tmp_path)}) == 2
    assert {threads for _, threads, _ in noted(tmp_path)} == {"1"}


def test_modules_are_imported_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    assert module._method(["this"]) == "fork"
    assert "this" in sys.modules


@pytest.mark.parametrize(
    ("how", "error", "sentence"),
    [
        ("sentence", EchosynthError, "task 1: too hot; cool it$"),
        ("full", EchosynthError, "task 1: cannot write a.npy: the disk is full; free some room and run again$"),
        ("killed", EchosynthError, f"task 1: its process was killed, .* memory .* {PROCESSES}=1 "),
        ("told to go", EchosynthError, r"task 1: its process was told to go \(exit status 143\); run again: what"),
        ("otherwise", RuntimeError, "ZeroDivisionError: by nought"),
    ],
)
def test_a_task_that_fails_ends_all_with_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], how: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        side_by_side(partial(fail, tmp_path, how), TASKS)
    assert not psutil.pid_exists(int((tmp_path / "0").read_text()))
    assert {path.name for path in tmp_path.iterdir()} == {"0"}  # nothing was begun afterwards
    said = capfd.readouterr().err
    assert ('raise EchosynthError("too hot' in said) == (how == "otherwise")  # where it came from
    assert said.count("Traceback") == (how == "otherwise")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_the_first_one_is_told_to_go(
    tmp_path: Path, python: Path, number: signal.Signals
) -> None:
    code = (
        "import signal, sys, joblib; from functools import partial; from pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs are started without
        "joblib.cpu_count = lambda: 2\n"
        "from tests.compute.test_side_by_side import TASKS, side_by_side, stand\n"
        f"side_by_side(partial(stand, Path({str(tmp_path)!r})), TASKS)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([python, "-c", code], env=environment, stderr=subprocess.DEVNULL) as process:
        workers = wait_for([tmp_path / "0", tmp_path / "1"])
        if number == signal.SIGKILL:
            kill([psutil.Process(process.pid)])
        else:
            process.send_signal(number)
        assert process.wait(DEADLINE) != 0
    wait_dead(workers)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}
