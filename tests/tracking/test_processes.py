import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from echosynth.tracking import processes


def test_a_process_is_there_until_it_ends() -> None:
    code = "import sys; from echosynth.tracking import processes; print(processes.mine(), flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        tag = process.stdout.readline()
        assert json.loads(tag)["pid"] == process.pid
        assert processes.gone(tag) == ""
        process.kill()
        psutil.Process(process.pid).wait  # noqa: B018  (a zombie is still in the table)
        process.wait()
        assert processes.gone(tag).startswith(f"process {process.pid} on ")


def test_a_number_that_was_given_again_is_another_process() -> None:
    known = json.loads(processes.mine())
    assert processes.gone(json.dumps(known)) == ""
    assert processes.gone(json.dumps(known | {"start": known["start"] - 3600}))


@pytest.mark.parametrize("tag", ["", "no json", "[]", "{}", '{"host": "elsewhere", "pid": 1, "start": 0}'])
def test_what_cannot_be_known_is_not_called_gone(tag: str) -> None:
    assert processes.gone(tag) == ""


def test_the_driver_is_the_nearest_dvc_else_what_started_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    ask = "from echosynth.tracking import processes; print(processes.driver())"
    (tmp_path / "dvc").write_text(
        f"import os, subprocess, sys\nprint(os.getpid(), flush=True)\n"
        f"subprocess.run([sys.executable, '-c', {code!r}, {ask!r}], check=True)\n"
    )
    printed = subprocess.run([sys.executable, tmp_path / "dvc", "repro"], capture_output=True, text=True, check=True)
    number, tag = printed.stdout.splitlines()
    assert json.loads(tag)["pid"] == int(number)

    def denied(self: psutil.Process) -> list[str]:  # as for those who are not the owner
        raise psutil.AccessDenied(self.pid)

    with monkeypatch.context() as patch:
        patch.setattr(psutil.Process, "cmdline", denied)
        assert json.loads(processes.driver())["pid"] == os.getppid()

    alone = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert json.loads(alone.stdout)["pid"] == os.getpid()


def test_the_driver_is_the_make_that_runs_a_dvc_for_each_stage(tmp_path: Path) -> None:
    """The outermost, as `make demo` runs `make stages`, which runs ninja; a program in between is one of its own."""
    ask = "from echosynth.tracking import processes; print(processes.driver(), flush=True)"
    (tmp_path / "dvc").write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {ask!r}], check=True)\n"
    )
    (tmp_path / "Makefile").write_text(
        "demo:\n\t@$(MAKE) --no-print-directory stages\n\t@true && $(PYTHON) dvc repro\n"
        "stages:\n\t@exec 3>&1 && ninja > ninja.log\n"
        "sweep:\n\t@$(PYTHON) -c \"import os; os.system('$(PYTHON) dvc exp run')\"\n"
    )
    (tmp_path / "build.ninja").write_text(
        f"rule stage\n  command = true && {sys.executable} dvc repro | cat >&3\nbuild one: stage\n"
    )

    def run(target: str) -> tuple[int, list[int]]:
        command = ["make", "--no-print-directory", target, f"PYTHON={sys.executable}"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
            printed, _ = process.communicate()
        assert process.returncode == 0
        return process.pid, [json.loads(tag)["pid"] for tag in printed.splitlines()]

    make, drivers = run("demo")
    assert drivers == [make, make]
    make, (experiment,) = run("sweep")
    assert experiment != make
