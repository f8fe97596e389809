"""Sweeps and searches for real: dvc, its queue and mlflow as processes, in a project with one stage of a few lines."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from mlflow.entities import Run
from tests.killing import dead, kill, wait_dead
from tests.pipeline.commands import (
    HASTY,
    INTERPRETER,
    bare_environment,
    call,
    descendants,
    ended,
    runs,
    start,
    wait_for,
)

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
STAGE = """
import os, time
from pathlib import Path

import psutil

from echosynth.common.yaml12 import read_yaml
from echosynth.common.files import write_json
from echosynth.tracking.runs import child_run, finish_parent

params = read_yaml("params.yaml")
steps = params["classifier"]["steps"]
marks = Path(os.environ["DVC_ROOT"]) / "marks"
# As DVC sees it: the command that it started, which a server may have forked this process for (tests/preloaded.py).
caller = psutil.Process().ppid()
command = os.getpid() if caller == os.getppid() else caller
first = not (marks / f"begun-{steps}").exists()


def kill(*words):
    # What of DVC is above this process, or this process itself.
    for process in reversed(psutil.Process().parents()):
        if any(word in process.cmdline() for word in words):
            process.kill()


with child_run(f"train {steps}", "train"):
    with (marks / f"begun-{steps}").open("a") as stream:
        stream.write(f"{command}\\n")
    if steps == 13 or steps == 14 and first:
        raise RuntimeError(f"{steps} steps bring bad luck")
    if steps == 16 and first:
        kill("exec-run")
        time.sleep(3600)
    if steps == 17 and first:
        kill("queue-worker")
    while (marks / "wait").exists():
        time.sleep(0.05)
score = 1 - abs(steps - 11) / 100
Path("models").mkdir(exist_ok=True)
Path("models/net").write_text(f"{steps} steps")
write_json("reports/metrics.json", {"best": {"validation_macro_auprc": score}, "test": {"macro_auprc": score / 2}})
finish_parent({"best.validation_macro_auprc": score}, params)
if steps == 15 and first:
    kill("exec-run", "queue-worker")
"""
DEAF = """
import sys, time
from pathlib import Path

if "queue-worker" in sys.orig_argv:
    from dvc.repo.experiments.executor.local import TempDirExecutor
    from dvc_task.worker import TemporaryWorker
    from kombu.pidbox import Node

    monitor = TemporaryWorker.monitor

    def soon(self, name):
        self.timeout = 2
        monitor(self, name)

    TemporaryWorker.monitor = soon
    begin = TempDirExecutor.from_stash_entry.__func__

    def slow(*words, **options):
        (Path(__file__).parent / "slow").touch()
        time.sleep(3)
        return begin(*words, **options)

    TempDirExecutor.from_stash_entry = classmethod(slow)
    Node.reply = lambda *_, **__: None
"""
# A worker looks every three seconds, and not every ten, whether there is nothing left in the queue.
BRIEF = """
if "queue-worker" in sys.orig_argv:
    from dvc_task.worker import TemporaryWorker

    monitor = TemporaryWorker.monitor

    def soon(self, name):
        self.timeout = 3
        monitor(self, name)

    TemporaryWorker.monitor = soon
"""
PIPELINE = """
stages:
  train:
    cmd: python src/train.py
    deps: [src/train.py]
    params: [classifier]
    outs: [models/net]
    metrics:
      - reports/metrics.json: {cache: false}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git and DVC repository with one commit, to be copied: to make one takes seconds."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copy(ROOT / ".gitignore", folder)
    (folder / "src").mkdir()
    (folder / "marks").mkdir()
    (folder / "src/train.py").write_text(STAGE)
    (folder / "marks/sitecustomize.py").write_text(HASTY)
    (folder / "dvc.yaml").write_text(PIPELINE)
    with (folder / ".gitignore").open("a") as stream:
        stream.write("/marks/\n/models/net\n")
    for command in (
        "git init -q",
        "dvc init -q",
        "dvc config core.analytics false",
        "git add -A",
        "git commit -qm toy",
    ):
        done = call(folder, *command.split())
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def fresh(repository: Path, tmp_path: Path, python: Path) -> Path:
    """A fresh clone: a commit, no database, nothing in the cache; its stage finds its libraries imported."""
    shutil.copytree(repository, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dvc.yaml").write_text(PIPELINE.replace("python src", f"{python} src"))
    done = call(tmp_path, "git", "commit", "-qam", "a stage that starts at once")
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.fixture
def small(fresh: Path, migrated: Path) -> Path:
    """The same with a database, in which nothing is."""
    shutil.copy(migrated, fresh / "mlflow.db")
    return fresh


def preload(project: Path, python: Path) -> None:
    """Let DVC too find its libraries imported, where nothing is killed."""
    with (project / "marks/sitecustomize.py").open("a") as stream:
        stream.write(INTERPRETER.format(str(python)))


def grid(project: Path, *steps: int) -> str:
    path = project / "marks" / "grid.yaml"
    path.write_text(f"parameters: {{classifier.steps: {list(steps)}}}\n")
    return str(path)


def ranking(printed: str) -> list[str]:
    """Values of classifier.steps in a printed ranking, the best first."""
    return re.findall(r"^steps-(\d+)_?\S*", printed, re.MULTILINE)


def test_two_workers_lose_no_run_and_no_artifact(fresh: Path, python: Path) -> None:
    preload(fresh, python)
    (fresh / "src/train.py").write_text(STAGE.replace("/ 100", "/ 1000"))  # uncommitted code is taken along
    done = call(fresh, "echosynth", "sweep", grid(fresh, 10, 11, 13, 14), "--workers", "2", python=python)
    assert done.returncode == 1, done.stderr
    assert ranking(done.stdout) == ["11", "10", "14"]
    assert max(map(len, done.stdout.partition("\n\n")[0].splitlines())) <= 100
    # 14 failed once, 13 twice: both tries are one row, and the log says why.
    assert len(re.findall(r"^steps-1[34]-\w+ failed and is tried once more", done.stderr, re.MULTILINE)) == 2
    assert re.search(
        r"^steps-13-\w+ failed twice .*\n(    .*\n)*    RuntimeError: 13 steps bring", done.stderr, re.MULTILINE
    )
    assert re.search(r"^steps-1\d-\w+ runs now, [23] waiting$", done.stderr, re.MULTILINE)
    assert "error: 1 experiment without a result" in done.stderr
    parents, children = runs(fresh)
    statuses = {"10": "FINISHED", "11": "FINISHED", "13": "FAILED", "14": "FINISHED"}
    assert sorted((run.data.params["classifier.steps"], run.info.status) for run in parents) == sorted(statuses.items())
    assert sorted(run.info.status for run in children) == sorted(statuses.values())
    (failed,) = (run for run in parents if run.info.status == "FAILED")
    assert "13 steps bring bad luck" in failed.data.tags["error"]
    scores = {run.data.metrics["best.validation_macro_auprc"] for run in parents if run is not failed}
    assert scores == {1.0, 0.999, 0.997}

    names = set(re.findall(r"^steps-\S+", done.stdout, re.MULTILINE))
    assert {run.data.tags["dvc.exp_name"] for run in parents if run is not failed} == names
    again = re.search(r"^Again: (.*)$", done.stdout, re.MULTILINE)
    assert again
    shown = call(fresh, *shlex.split(again[1]), "--no-pager", python=python).stdout
    assert all(name in shown for name in names)
    best = re.search(r"dvc exp apply (\S+)", done.stdout)
    assert best
    assert call(fresh, "dvc", "exp", "apply", best[1], python=python).returncode == 0
    assert (fresh / "models/net").read_text() == "11 steps"

    # Called again with the best one's parameters and results in the working tree: there is nothing to train.
    second = call(fresh, "echosynth", "sweep", grid(fresh, 10, 11, 14), python=python)
    assert second.returncode == 0, second.stderr
    assert second.stdout == done.stdout
    assert "3 experiments, 3 of them with a result" in second.stderr
    assert len(runs(fresh)[0]) == 4


def test_a_combination_that_is_the_baseline_has_a_result_and_says_that_it_has_no_row(small: Path, python: Path) -> None:
    preload(small, python)
    assert call(small, "echosynth", "sweep", grid(small, 11), python=python).returncode == 0
    (name,) = (run.data.tags["dvc.exp_name"] for run in runs(small)[0])
    assert call(small, "dvc", "exp", "apply", name, python=python).returncode == 0
    for command in ("git add -A", "git commit -qm best"):
        done = call(small, *command.split())
        assert done.returncode == 0, done.stderr
    done = call(small, "echosynth", "sweep", grid(small, 11), python=python)
    assert done.returncode == 0, done.stderr
    assert ranking(done.stdout) == ["11"] and name not in done.stdout
    assert "DVC took everything from its cache, so there is no new row in MLflow" in done.stderr
    assert len(runs(small)[0]) == 1


@contextmanager
def begun(project: Path, *words: str, marks: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A command of echosynth whose experiments wait in the middle of their stage."""
    (project / "marks/wait").touch()
    process = start(project, *words)
    try:
        wait_for(f"{marks} stages", lambda: len(list((project / "marks").glob("begun-*"))) >= marks, process, project)
        yield process
    finally:
        (project / "marks/wait").unlink(missing_ok=True)
        process.terminate()
        ended(process, project)


def kill_family(process: subprocess.Popen[bytes], project: Path) -> None:
    """Kill a stage below a command, the shell that some systems leave above it, both processes of dvc, the worker."""
    mark = min(project.glob("marks/begun-*"))
    victim = psutil.Process(int(mark.read_text().splitlines()[-1]))
    family = [victim, *victim.parents()]
    kill(family[: [one.pid for one in family].index(process.pid)])


def statuses(found: Sequence[Run]) -> list[tuple[str, str]]:
    """(classifier.steps, status) of parents."""
    return sorted((run.data.params["classifier.steps"], run.info.status) for run in found)


def times_begun(project: Path, steps: int) -> int:
    return len((project / f"marks/begun-{steps}").read_text().splitlines())


def copies(project: Path) -> list[Path]:
    """Copies of the project in which experiments run."""
    return list(project.glob(".dvc/tmp/exps/tmp*"))


def test_a_killed_worker_costs_nothing_but_time(small: Path) -> None:
    with begun(small, "sweep", grid(small, 10, 11), "--workers", "2", marks=2) as process:
        kill_family(process, small)
        (small / "marks/wait").unlink()
        status, said = ended(process, small)
    assert status == 0, said
    # Once, or twice where queueing took so long that the other worker was about to end when it was handed over.
    assert len(re.findall(r"its worker is gone; it begins again", said)) in (1, 2), said
    parents, _ = runs(small)
    assert statuses(parents) == [("10", "FINISHED"), ("11", "FINISHED")]
    assert sorted(times_begun(small, steps) for steps in (10, 11)) == [1, 2]
    assert not copies(small)


def test_a_worker_that_is_slow_and_answers_nothing_keeps_its_experiment(small: Path) -> None:
    (small / "marks/sitecustomize.py").write_text(HASTY + DEAF)
    with begun(small, "sweep", grid(small, 10), "--workers", "2") as process:
        assert (small / "marks/slow").exists()
        kill_family(process, small)
        wait_for("a second attempt", lambda: times_begun(small, 10) > 1, process, small)
        (small / "marks/wait").unlink()
        status, said = ended(process, small)
    assert status == 0, said
    assert len(re.findall("its worker is gone|is tried once more", said)) == 1, said
    assert times_begun(small, 10) == 2
    assert statuses(runs(small)[0]) == [("10", "FINISHED")]
    assert not list(small.glob(".dvc/tmp/exps/celery/broker/in/*.celery.msg"))


def test_an_experiment_whose_worker_is_gone_is_named_with_what_ends_it_and_goes_on(small: Path, python: Path) -> None:
    def said(*words: str, fails: bool = False) -> str:
        done = call(small, *words, python=python)
        assert bool(done.returncode) is fails, done.stderr
        return done.stdout

    (small / "marks/sitecustomize.py").write_text(HASTY + BRIEF)
    queued = ("dvc", "exp", "run", "--queue", "-n", "mine", "-S", "classifier.steps=10")
    worker = ("dvc", "exp", "queue-worker", "mine@localhost", "--clean")
    said(*queued)
    (small / "marks/wait").touch()
    (small / "marks/err").touch()
    process = subprocess.Popen([sys.executable, "-m", *worker], cwd=small, env=bare_environment())
    wait_for("a stage", lambda: (small / "marks/begun-10").exists(), process, small)
    assert "queue worker is gone" not in said("echosynth", "sync", fails=True)
    kill([*descendants(process), psutil.Process(process.pid)])
    process.wait()
    (small / "marks/wait").unlink()
    assert re.search(r"mine .*Running", said("dvc", "queue", "status"))
    said("dvc", "queue", "remove", "mine", fails=True)  # what one would try

    text = said("echosynth", "sync", fails=True)
    assert "closed 2 runs whose process is gone: train 10, mine\nmine: DVC shows it as running, but its queue" in text
    advised = re.findall("`(dvc [^`.]*)", text)
    assert shlex.split(advised[1]) == list(queued[:6])
    said(*shlex.split(advised[0]))
    assert "queue worker is gone" not in said("echosynth", "sync", fails=True)
    said(*queued)
    assert call(small, *worker).returncode == 0
    assert statuses(runs(small)[0]) == [("10", "FINISHED")]


def test_a_killed_worker_s_run_is_failed_and_says_why(small: Path) -> None:
    with begun(small, "sweep", grid(small, 10)) as process:
        with (small / "src/train.py").open("a") as stream:
            stream.write("# another state of the code, from which nothing is begun again\n")
        kill_family(process, small)
        status, said = ended(process, small)
    assert status == 1
    assert "the run train 10 of a killed process is marked as failed" in said
    assert "changed since steps-10" in said
    (parent,), (child,) = runs(small)
    assert (parent.info.status, child.info.status) == ("FAILED", "FAILED")
    assert "is gone); the same `dvc exp run` with `-n steps-10" in parent.data.tags["error"]
    assert "its process was killed, or the machine went down" in child.data.tags["error"]


def test_one_finished_row_whatever_is_killed_when(small: Path) -> None:
    # 15: dvc and the worker when the row is finished, and dvc has no result yet. 16: dvc alone; its stage would go on
    # for an hour. 17: the worker alone; dvc goes on without it.
    done = call(small, "echosynth", "sweep", grid(small, 15, 16, 17))
    assert done.returncode == 0, done.stderr
    assert sorted(ranking(done.stdout)) == ["15", "16", "17"]
    parents, _ = runs(small)
    (replaced,) = (run for run in parents if run.info.status != "FINISHED")
    assert statuses(parents) == [("15", "FINISHED"), ("15", "KILLED"), ("16", "FINISHED"), ("17", "FINISHED")]
    assert "DVC did not keep this result" in replaced.data.tags["error"]
    assert [times_begun(small, steps) for steps in (15, 16, 17)] == [2, 2, 1]
    for pid in (small / "marks/begun-16").read_text().splitlines():
        assert not psutil.pid_exists(int(pid)) or dead(psutil.Process(int(pid)))
    assert not copies(small)


def test_a_stopped_sweep_leaves_no_process_behind(small: Path) -> None:
    with begun(small, "sweep", grid(small, 10)) as process:
        below = descendants(process)
        process.terminate()
        status, said = ended(process, small)
        assert status == 1
        assert "stopped; call the same command again" in said
        wait_dead(below)
    (parent,), (child,) = runs(small)
    assert parent.info.status == "FAILED" and parent.data.tags["error"]
    assert child.info.status in ("KILLED", "FAILED") and child.data.tags["error"]
    assert not copies(small)


def test_a_search_is_one_row_a_trial_and_goes_on(small: Path, python: Path) -> None:
    preload(small, python)
    pytest.importorskip("optuna", reason="needs requirements-extra.txt")
    path = small / "marks" / "space.yaml"
    path.write_text("parameters: {classifier.steps: {low: 20, high: 400}}\n")
    first = call(small, "echosynth", "search", str(path), "--trials", "1", python=python)
    assert first.returncode == 0, first.stderr
    second = call(small, "echosynth", "search", str(path), "--trials", "2", python=python)
    assert second.returncode == 0, second.stderr
    assert set(ranking(first.stdout)) < set(ranking(second.stdout)) and len(ranking(second.stdout)) == 2
    assert "trial 1: classifier.steps = " in second.stderr and "trial 0" not in second.stderr
    parents, _ = runs(small)
    assert sorted(run.data.params["classifier.steps"] for run in parents) == sorted(ranking(second.stdout))
