"""Commands that a server forks for behave like those that start by themselves."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests import killing, preloaded

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with preloaded.running(tmp_path_factory.mktemp("preloaded"), ()) as folder:
        yield folder


@pytest.fixture
def start(commands: Path, tmp_path: Path) -> Start:
    """Start `python` with these words, in a folder and an environment of its own."""

    def process(*words: str, **more: str) -> subprocess.Popen[str]:
        environment = os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"} | more
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(["python", *words], cwd=tmp_path, env=environment, text=True, **pipes)

    return process


def test_words_environment_folder_and_streams_are_those_of_the_caller(start: Start, tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv, os.getcwd(), os.environ['MINE'], input()); print('oh', file=sys.stderr)"
    process = start("-c", code, "a", MINE="b")
    assert process.communicate("c\n") == (f"['-c', 'a'] {tmp_path} b c\n", "oh\n")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('error: no')", 1, "error: no\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM, ""),
    ],
)
def test_it_ends_as_the_process_ends(start: Start, code: str, status: int, said: str) -> None:
    process = start("-c", code)
    assert process.communicate()[1].endswith(said)
    assert process.returncode == status


def test_modules_of_the_project_come_from_pythonpath_each_time(start: Start, tmp_path: Path) -> None:
    (tmp_path / "src/echosynth").mkdir(parents=True)
    for version in ("1", "22"):
        (tmp_path / "src/echosynth/__init__.py").write_text("")
        (tmp_path / "src/echosynth/work.py").write_text(
            f"import sys\nprint({version}, __name__, __spec__.name, sys.argv[1:])\n"
        )
        process = start("-m", "echosynth.work", "400", PYTHONPATH=str(tmp_path / "src"))
        assert process.communicate()[0] == f"{version} __main__ echosynth.work ['400']\n"


def test_it_knows_who_called_and_hears_signals(start: Start) -> None:
    code = "import psutil, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    code += "print(psutil.Process().ppid(), psutil.Process().cmdline()[:2], flush=True); time.sleep(3600)"
    process = start("-c", code)
    assert process.stdout
    assert process.stdout.readline() == f"{process.pid} ['python', '-c']\n"
    process.terminate()
    assert process.wait() == 7
    process.communicate()


def test_a_caller_that_is_killed_takes_it_along(start: Start) -> None:
    process = start("-c", "import os, time; print(os.getpid(), flush=True); time.sleep(3600)")
    assert process.stdout
    forked = psutil.Process(int(process.stdout.readline()))
    assert forked.pid != process.pid
    process.kill()
    process.communicate()
    killing.wait_dead([forked])
