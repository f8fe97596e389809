"""What experiments start from, and that one call at a time runs them; DVC itself in tests/stages/test_sweep.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from echosynth.errors import EchosynthError
from echosynth.experiments import queue
from echosynth.experiments.queue import Experiment
from echosynth.files import fingerprint


def git(*words: str) -> str:
    identity = {f"GIT_{who}_{what}": "toy" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        ["git", *words], env=os.environ | identity, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository that looks like a DVC project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git("init", "-q")
    for name, text in {
        ".dvc/config": "",
        "dvc.yaml": "stages: {}",
        "src/a.py": "1",
        "params.yaml": "a: 1",
        "dvc.lock": "x",
        "docs/a.md": "x",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git("add", "-A")
    git("commit", "-qm", "toy")
    return tmp_path


def test_code_and_commit_count_and_what_no_result_depends_on_does_not(project: Path) -> None:
    first = queue.origin()
    for name in ("params.yaml", "dvc.lock", "docs/a.md", "src/untracked.py"):
        (project / name).write_text("other")
    assert queue.origin() == first
    (project / "src/a.py").write_text("2")
    changed = queue.origin()
    assert changed != first
    git("commit", "-qam", "other")
    assert queue.origin() not in (first, changed)


def test_outside_of_a_project_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(EchosynthError, match="no DVC project"):
        queue.origin()
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text("")
    with pytest.raises(EchosynthError, match="no git commit"):
        queue.origin()


def test_nothing_is_queued_from_another_state_than_planned(project: Path) -> None:
    planned = Experiment("a", (), (), queue.origin(), fingerprint({"a": 1}))
    for name in ("src/a.py", "params.yaml"):
        before = (project / name).read_text()
        (project / name).write_text("a: 2")
        with pytest.raises(EchosynthError, match="changed since a was planned"):
            queue.put(planned)
        (project / name).write_text(before)


def test_results_and_scores_are_found_whatever_was_committed_since(project: Path) -> None:
    commit = git("rev-parse", "HEAD")
    assert queue.finished() == set()
    (project / "reports").mkdir()
    (project / "reports/metrics.json").write_text(json.dumps({"test": {"macro_f1": 0.5}}))
    git("add", "-A")
    git("commit", "-qm", "an experiment")
    git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/mine", "HEAD")
    git("update-ref", "refs/exps/celery/stash", "HEAD")
    git("reset", "-q", "--hard", commit)
    for _ in range(2):
        assert queue.finished() == {"mine"}
        assert queue.scores("mine") == {"test.macro_f1": 0.5}
        assert queue.scores("other") == {}
        git("commit", "-qm", "next", "--allow-empty")


def test_a_second_call_waits_for_the_first_and_for_workers_that_outlive_it(project: Path) -> None:
    code = (
        "from echosynth.experiments import queue\n"
        "with queue.alone():\n"
        "    print('mine', flush=True)\n"
    )  # fmt: skip
    with queue.alone() as lock:
        heir = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    second = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert second.stdout and second.stderr
    assert "waiting for experiments of another call" in second.stderr.readline()
    heir.kill()
    heir.wait()
    assert second.stdout.read() == "mine\n"
    assert second.wait() == 0
    second.stderr.close()
