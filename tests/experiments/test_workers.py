"""Who is at work on what: from the process table, with processes that only look like DVC's."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from echosynth.experiments import workers

READY = "import sys, time; print('ready', flush=True); time.sleep(600)"
WORKER = (  # and a child that runs an experiment
    "import subprocess, sys, time; words = sys.argv[sys.argv.index('--') + 1:]\n"
    f"if words: subprocess.Popen([sys.executable, '-c', {READY!r}, *words])\n"
    "else: print('ready', flush=True)\n"
    "time.sleep(600)"
)
Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Start a process with these words in this project, the working directory; all end with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    begun = []

    def begin(code: str, *words: str, inherits: int | None = None, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | variables,
            pass_fds=() if inherits is None else (inherits,),
            start_new_session=True,
        )
        begun.append(process)
        assert process.stdout and process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in begun:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children too
        process.wait()
        assert process.stdout
        process.stdout.close()


def experiment(begin: Begin, name: str, *hashes: str) -> subprocess.Popen[str]:
    """A worker that runs an experiment, or none."""
    words = [word for one in hashes for word in ("exp", "exec-run", "--infofile", f"run/{one}/{one}.run")]
    return begin(WORKER, "exp", "queue-worker", name, "--", *words)


def test_each_worker_with_the_experiment_that_it_runs(begin: Begin, tmp_path: Path) -> None:
    assert workers.at_work() == []
    experiment(begin, "echosynth-1@localhost", "aaaa")
    idle = experiment(begin, "dvc-exp-2@localhost")
    assert sorted(workers.at_work()) == ["", "aaaa"]
    idle.kill()
    idle.wait()
    assert workers.at_work() == ["aaaa"]


def test_workers_of_other_projects_and_other_commands_do_not_count(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(READY, "queue", "status", "queue-worker")
    experiment(begin, "dvc-exp-1@localhost", "aaaa")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert workers.at_work() == []


def test_a_number_that_another_process_was_given_is_no_experiment(begin: Begin) -> None:
    assert workers.experiment_of(begin(READY, "exp", "exec-run", "--infofile", "run/bb/bb.run").pid) == "bb"
    assert workers.experiment_of(begin(READY).pid) == ""
    assert workers.experiment_of(os.getpid()) == ""


def test_stages_without_dvc_are_ended_and_those_of_others_are_not(begin: Begin, tmp_path: Path) -> None:
    orphan = begin(READY, DVC_EXP_NAME="a")
    others = [begin(READY, DVC_EXP_NAME="b"), begin(READY, DVC_EXP_NAME="a", DVC_ROOT=str(tmp_path.parent))]
    workers.end_orphans(["a", "c"])
    assert orphan.poll() is not None
    assert [process.poll() for process in others] == [None, None]


def test_copies_stay_while_somebody_is_at_work_and_go_afterwards(begin: Begin, tmp_path: Path) -> None:
    left = tmp_path / ".dvc/tmp/exps/tmpabc"
    for folder in (left, left.with_name("celery"), left.with_name("standalone") / "tmpdef"):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    for words in (("exp", "queue-worker", "mine"), ("exp", "exec-run", "--infofile", "a")):
        busy = begin(READY, *words)
        workers.remove_copies()
        assert (left / "file").exists()
        busy.kill()
        busy.wait()
    workers.remove_copies()
    assert sorted(path.name for path in left.parent.iterdir()) == ["celery", "standalone"]
    assert (left.parent / "standalone/tmpdef/file").exists()


def test_a_worker_that_never_goes_is_asked_to_go_when_nothing_is_left(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "IDLE_LOOKS", 3)
    idle, busy = experiment(begin, "one"), experiment(begin, "two", "aaaa")
    team = workers.Workers(2, 0, _processes={0: idle, 1: busy})  # type: ignore[dict-item]
    for _ in range(2):
        team.keep(0)
    assert idle.poll() is None
    team.keep(0)
    assert idle.wait(600) == -signal.SIGTERM
    for _ in range(4):
        team.keep(0)
    assert busy.poll() is None and psutil.Process(busy.pid).children()


def test_a_worker_that_somebody_else_started_is_asked_to_go_and_named_when_it_stays(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "IDLE_LOOKS", 2)
    goes = experiment(begin, "dvc-exp-1@localhost")
    stays = begin(
        f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}", "exp", "queue-worker", "two"
    )
    team = workers.Workers(1, 0)
    for _ in range(2):
        team.keep(0)
    assert goes.wait(600) == -signal.SIGTERM
    assert not capsys.readouterr().err
    for _ in range(6):
        team.keep(0)
    assert stays.poll() is None
    assert re.findall("queue worker .* `kill -9 (.*)` ends it", capsys.readouterr().err) == [str(stays.pid)]


@pytest.mark.parametrize("words", [("aaaa",), ()])
def test_at_the_end_it_says_which_worker_is_waited_for(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    class Deaf:
        """A worker that goes only after some looks."""

        def __init__(self, process: subprocess.Popen[str]) -> None:
            self.pid, self.looks = process.pid, 0

        def terminate(self) -> None: ...

        def wait(self, seconds: float) -> None:
            self.looks += 1
            if self.looks < 6:
                raise subprocess.TimeoutExpired("worker", seconds)

    monkeypatch.setattr(workers, "IDLE_LOOKS", 2)
    process = experiment(begin, "one", *words)
    with workers.Workers(1, 0, _processes={0: Deaf(process)}):  # type: ignore[dict-item]
        pass
    said = capsys.readouterr().err
    if words:
        assert said == f"waiting for an experiment of another call, which queue worker {process.pid} runs\n"
    else:
        assert said.count(f"`kill -9 {process.pid}` ends it") == 1


def test_a_worker_that_never_goes_and_outlives_its_sweep_is_asked_to_go_by_the_next(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "IDLE_LOOKS", 2)
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.05)
    with workers.alone() as lock:
        idle = begin(WORKER, "exp", "queue-worker", "echosynth-1@localhost", "--", inherits=lock)
    with workers.alone():
        assert idle.wait(600) == -signal.SIGTERM


def test_a_second_call_waits_for_the_first_and_for_workers_that_outlive_it() -> None:
    code = (
        "from echosynth.experiments import workers\n"
        "with workers.alone():\n"
        "    print('mine', flush=True)\n"
    )  # fmt: skip
    with workers.alone() as lock:
        heir = subprocess.Popen(["sleep", "600"], pass_fds=(lock,))
    second = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert second.stdout and second.stderr
    assert "waiting for experiments of another call" in second.stderr.readline()
    heir.kill()
    heir.wait()
    assert second.stdout.read() == "mine\n"
    assert second.wait() == 0
    second.stderr.close()
