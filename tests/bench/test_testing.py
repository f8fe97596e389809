"""The table of what tests cost, made of a run of pytest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.testing import Cost, costs, main

ROOT = Path(__file__).parents[2]
DEAR = """
import subprocess, sys

WORK = "import time; end = time.process_time() + 0.3\\nwhile time.process_time() < end: pass"

def test_here():
    exec(WORK)

def test_in_another_process():
    subprocess.run([sys.executable, "-IS", "-c", WORK], check=True)
    subprocess.run(["true"], check=True)
"""


def test_seconds_and_starts_are_those_of_the_tests_and_of_their_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_dear.py").write_text(DEAR)
    (tmp_path / "test_cheap.py").write_text("def test_one(): pass\n")
    words = [
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
        "-p",
        "bench.testing",
        "--junitxml",
        str(tmp_path / "j.xml"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    found = costs([tmp_path / "j.xml"])
    assert list(found) == ["test_dear.py", "test_cheap.py"]
    dear, cheap = found.values()
    assert (dear.tests, dear.starts, cheap.tests, cheap.starts) == (2, 2, 1, 0)
    assert dear.seconds >= dear.processor * 0.9 >= 0.6 * 0.9  # one processor is used at a time

    monkeypatch.setattr("sys.argv", ["bench.testing", "--json", str(tmp_path / "j.xml")])
    main()
    told = json.loads(capsys.readouterr().out)
    assert told["test_dear.py"]["starts"] == told["all"]["starts"] == 2 and told["all"]["tests"] == 3


def test_runs_are_summed_up_and_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    case = '<testcase classname="tests.a.test_b" time="1.5"/>'
    for name in ("one.xml", "two.xml"):
        (tmp_path / name).write_text(f"<testsuites>{case}{case}</testsuites>")
    summed = costs([tmp_path / "one.xml", tmp_path / "two.xml"])
    assert summed == {"tests/a/test_b.py": Cost(tests=4, seconds=6.0)}
    (tmp_path / "two.xml").write_text("nothing")
    with pytest.raises(SystemExit, match=r"two\.xml is no JUnit file"):
        costs([tmp_path / "two.xml"])
