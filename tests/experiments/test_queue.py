"""What experiments start from, what is in the queue, and what came out; DVC itself in tests/pipeline/test_sweep.py."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash, fingerprint
from echosynth.experiments import queue, workers
from echosynth.experiments.queue import Experiment


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
        "data/raw/dvc.lock": "x",
        "docs/a.md": "x",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git("add", "-A")
    git("commit", "-qm", "toy")
    return tmp_path


def test_code_and_commit_count_and_what_no_result_depends_on_does_not(project: Path) -> None:
    first = queue.origin()
    for name in ("params.yaml", "dvc.lock", "data/raw/dvc.lock", "docs/a.md", "src/untracked.py"):
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


def test_a_full_disk_is_said_in_the_words_of_this_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: unexpected error - [Errno 28] No space left on device\n\nHaving any troubles? Hit us up\n"
    full = SimpleNamespace(returncode=255, stdout="", stderr=said)
    monkeypatch.setattr(queue, "subprocess", SimpleNamespace(run=lambda *_, **__: full))
    sentence = "^cannot write .dvc/tmp/exps: the disk is full; free some room and run again$"
    with pytest.raises(EchosynthError, match=sentence):
        queue.put(Experiment("a", (), (), queue.origin(), fingerprint({"a": 1})))


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


def test_scores_of_an_experiment_that_did_not_reach_the_report_are_its_baseline_s_and_do_not_count(
    project: Path,
) -> None:
    commit = git("rev-parse", "HEAD")
    (project / "reports").mkdir()
    scores = project / "reports/metrics.json"
    scores.write_text(json.dumps({"test": {"macro_f1": 0.5}}))
    out = f"{{path: reports/metrics.json, md5: {file_hash(scores)}}}"
    (project / "dvc.lock").write_text(f"stages: {{report: {{params: {{params.yaml: {{a: 1}}}}, outs: [{out}]}}}}")
    for name, value in (("whole", 1), ("part", 2)):
        (project / "params.yaml").write_text(f"a: {value}")
        git("add", "-A")
        git("commit", "-qm", "an experiment")
        git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", "HEAD")
    assert queue.scores("whole") == {"test.macro_f1": 0.5}
    assert queue.scores("part") == {}


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A queue in which the experiments a, b and c were begun: a's process is there, b's has ended, c has none yet.

    It has nothing that could ask the workers.
    """
    monkeypatch.chdir(tmp_path)
    tasks = [
        SimpleNamespace(
            async_result=SimpleNamespace(id=f"task {name}"), entry=SimpleNamespace(name=name, stash_rev=rev)
        )
        for name, rev in (("a", "aaa"), ("b", "bbb"), ("c", "ccc"))
    ]
    marked: list[str] = []
    backend = SimpleNamespace(mark_as_failure=lambda task, reason: marked.append(task))
    fake = SimpleNamespace(
        iter_queued=list,
        _iter_active_tasks=lambda: iter(tasks),
        _iter_processed=lambda: [(None, task.entry) for task in tasks],
        proc={"aaa": SimpleNamespace(pid=1), "bbb": SimpleNamespace(pid=2)},
        celery=SimpleNamespace(backend=backend),
        marked=marked,
    )
    monkeypatch.setattr(queue, "_celery_queue", lambda root: fake)
    monkeypatch.setattr(workers, "experiment_of", lambda process: "aaa" if process == 1 else "")
    return fake


@pytest.mark.parametrize(
    ("work", "lost"),
    [
        ([], ["b", "c"]),
        (["aaa"], ["b", "c"]),
        (["aaa", ""], []),  # this one begins or ends one of them, and answers no question meanwhile
        (["aaa", "bbb"], ["c"]),  # its process has come since
        (["", ""], []),
    ],
)
def test_an_experiment_is_lost_when_no_worker_can_have_it(
    begun: Any, monkeypatch: pytest.MonkeyPatch, work: list[str], lost: list[str]
) -> None:
    monkeypatch.setattr(workers, "at_work", lambda: work)
    assert queue.abandoned(queue.state()) == lost
    assert [name for name in "abc" if queue.bury(name)] == lost
    assert begun.marked == [f"task {name}" for name in lost]
    assert not queue.bury("d")  # has ended meanwhile
