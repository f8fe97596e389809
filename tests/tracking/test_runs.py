import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml
from echosynth.tracking import origin, rows, store, system
from echosynth.tracking.runs import RunLogger, child_run, fail_parent, finish_parent, flat_params


def runs_of(stage: str) -> list:
    """All runs of a stage, the oldest first."""
    condition = f"tags.`echosynth.stage` = '{stage}'"
    return rows.search(store.connect(), condition)[::-1]


def curve_of(run_id: str, name: str) -> list[tuple[int, float]]:
    """Steps and values of all points of a curve."""
    return [(point.step, point.value) for point in store.client().get_metric_history(run_id, name)]


def script(python: Path, folder: Path, text: str, **environment: str) -> subprocess.Popen:
    """Start Python on `text` in `folder`."""
    return subprocess.Popen(
        [python, "-c", "from echosynth.tracking.runs import *\n" + text],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_stages_of_one_execution_share_one_parent_with_all_parameters(workspace: Path) -> None:
    for name in ("a", "b"):
        with child_run(name, "train", {"seed": 1}) as run:
            run.metrics({"loss": 0.5}, step=3)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finish_parent({"f1": 0.75}, {"split": {"seed": 3}, "extra.key": 5}, [workspace / "params.yaml"])

    (parent,) = runs_of("pipeline")
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "repro"
    assert parent.data.metrics == {"f1": 0.75}
    assert parent.data.params == {
        "split.seed": "3",
        "split.subsets": '[150, "all"]',
        "sample.guidance": "1.0",
        "extra.key": "5",
    }
    assert [file.path for file in store.client().list_artifacts(parent.info.run_id)] == ["params.yaml"]
    children = runs_of("train")
    assert [child.info.run_name for child in children] == ["a", "b"]
    for child in children:
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.metrics == {"loss": 0.5}
        assert child.data.params == {"seed": "1"}


def test_finished_execution_keeps_its_row_and_the_next_gets_a_new_one(workspace: Path) -> None:
    first = finish_parent({"f1": 0.5}, {})
    with child_run("a", "train"):
        pass
    second = finish_parent({"f1": 0.6}, {})
    assert first != second
    assert [run.data.metrics["f1"] for run in runs_of("pipeline")] == [0.5, 0.6]


@pytest.mark.parametrize("other", ["", "experiment", "scores", "parameters", "commit", "lock", "kept"])
def test_only_a_lost_row_of_the_same_result_gives_way(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    def commit() -> None:
        git(workspace, "commit", "-q", "--allow-empty", "-m", "work")

    git(workspace, "init", "-q")
    commit()
    page, lock = Path("page.html"), Path("dvc.lock")
    page.write_text("a page")
    lock.write_text("stages: {}")
    if other == "kept":
        lock.write_text(f"stages: {{report: {{outs: [{{path: page.html, md5: {origin.data_hash(page)}}}]}}}}")
    with child_run("a", "train"):
        pass
    first = finish_parent({"f1": 0.5}, {}, [page])
    change = {
        "experiment": lambda: monkeypatch.setenv("DVC_EXP_NAME", "mine"),
        "parameters": lambda: Path("params.yaml").write_text("split: {seed: 4}"),
        "commit": commit,
        "lock": lambda: lock.write_text("stages: {train: {}}"),
    }
    change.get(other, lambda: None)()
    second = finish_parent({"f1": 0.6 if other == "scores" else 0.5}, {}, [page])
    ends = ["FINISHED" if other else "KILLED", "FINISHED"]
    assert [store.client().get_run(row).info.status for row in (first, second)] == ends
    (child,) = runs_of("train")
    assert child.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == (first if other else second)


def test_other_parameters_are_another_execution(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "same-name")
    for seed in (1, 2):
        (workspace / "params.yaml").write_text(f"split:\n  seed: {seed}\n")
        with pytest.raises(EchosynthError), child_run("a", "train"):
            raise EchosynthError("stop")
    assert [run.data.params for run in runs_of("pipeline")] == [{"split.seed": "1"}, {"split.seed": "2"}]


def test_failure_is_marked_with_its_sentence_and_mended_by_the_next_attempt(workspace: Path) -> None:
    with pytest.raises(EchosynthError, match="the disk is full"), child_run("a", "train"):
        raise EchosynthError("the disk is full")
    (child,), (parent,) = runs_of("train"), runs_of("pipeline")
    assert (child.info.status, child.data.tags["error"]) == ("FAILED", "the disk is full")
    assert (parent.info.status, parent.data.tags["error"]) == ("FAILED", "a: the disk is full")

    with child_run("a", "train"):
        assert runs_of("pipeline")[0].info.status == "RUNNING"
    finish_parent({}, {})
    for run in (*runs_of("train"), *runs_of("pipeline")):
        assert run.info.run_id in (child.info.run_id, parent.info.run_id)
        assert run.info.status == "FINISHED"
        assert "error" not in run.data.tags


def test_defect_is_marked_by_its_kind(workspace: Path) -> None:
    with pytest.raises(ZeroDivisionError), child_run("a", "train"):
        1 / 0  # noqa: B018
    assert runs_of("train")[0].data.tags["error"] == "ZeroDivisionError: division by zero"


def test_interrupt_is_marked_as_killed(workspace: Path) -> None:
    with pytest.raises(KeyboardInterrupt), child_run("a", "train"):
        raise KeyboardInterrupt
    assert runs_of("train")[0].info.status == "KILLED"
    assert runs_of("pipeline")[0].info.status == "FAILED"


def test_termination_is_marked_as_killed(workspace: Path, python: Path) -> None:
    process = script(
        python,
        workspace,
        "import time\nwith child_run('a', 'train'):\n    print('on', flush=True)\n    time.sleep(3600)",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert runs_of("train")[0].info.status == "KILLED"


@pytest.mark.parametrize("wait", [0.02 * (k + 1) for k in range(6)])
def test_termination_in_the_middle_of_a_write_is_marked_as_killed(workspace: Path, wait: float) -> None:
    """What it leaves half done must not keep the database locked."""
    with pytest.raises(SystemExit) as stopped, child_run("a", "train") as run:
        threading.Timer(wait, os.kill, (os.getpid(), signal.SIGTERM)).start()
        for step in itertools.count():
            run.metrics({"loss": 1.0, "lr": 0.1}, step)
    assert stopped.value.code == 128 + signal.SIGTERM
    (child,), (parent,) = runs_of("train"), runs_of("pipeline")
    assert (child.info.status, child.data.tags["error"]) == ("KILLED", "Terminated")
    assert parent.info.status == "FAILED"


def test_killed_child_is_continued_and_its_curve_drawn_once(workspace: Path, python: Path) -> None:
    process = script(
        python,
        workspace,
        "import time\nwith child_run('a', 'train', {'seed': 1}, work='state') as run:\n"
        "    for step in (0, 10, 20): run.metrics({'loss': 1 / (1 + step)}, step)\n"
        "    run.dataset('set', '0' * 32 + '.dir', 'training')\n"
        "    print('on', flush=True)\n    time.sleep(3600)",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    process.kill()
    process.communicate()
    assert runs_of("train")[0].info.status == "RUNNING"

    with child_run("a", "train", {"seed": 1}, work="state") as run:  # goes on from a state saved at step 10
        run.dataset("set", "0" * 32 + ".dir", "training")
        for step in (10, 20, 30):
            run.metrics({"loss": 1 / (1 + step)}, step)
    (child,) = runs_of("train")
    assert child.info.status == "FINISHED"
    assert curve_of(child.info.run_id, "loss") == [(step, 1 / (1 + step)) for step in (0, 10, 20, 30)]
    assert len(child.inputs.dataset_inputs) == 1
    assert len(runs_of("pipeline")) == 1


def test_final_numbers_stand_at_the_end_of_the_curves(workspace: Path) -> None:
    with child_run("a", "train") as run:
        for step in (5, 10):
            run.metrics({"loss": 1 / step}, step)
        run.metrics({"f1": 0.5})
    (point,) = store.client().get_metric_history(run.id, "f1")
    assert (point.step, point.value) == (10, 0.5)


def test_final_numbers_of_a_resumed_run_stand_at_the_end_of_the_earlier_curve(workspace: Path) -> None:
    with pytest.raises(EchosynthError), child_run("a", "train", work="state") as run:
        run.metrics({"loss": 0.5}, 10)
        raise EchosynthError("stop")
    with child_run("a", "train", work="state") as run:  # nothing was left to train
        run.metrics({"f1": 0.5})
    assert len(runs_of("train")) == 1
    assert curve_of(run.id, "f1") == [(10, 0.5)]


@pytest.mark.parametrize(("first", "second"), [("", ""), ("state", "other state"), ("state", "")])
@pytest.mark.parametrize("trace", ["curve", "data set"])
def test_work_that_begins_anew_leaves_the_earlier_run_alone(
    workspace: Path, first: str, second: str, trace: str
) -> None:
    with pytest.raises(EchosynthError), child_run("a", "train", {"seed": 1}, work=first) as run:
        if trace == "curve":
            run.metrics({"loss": 0.5}, 10)
        else:
            run.dataset("set", "0" * 32, "training")
        raise EchosynthError("stop")
    with child_run("a", "train", {"seed": 1}, work=second) as run:  # with other code or data
        run.dataset("set", "1" * 32, "training")
        for step in (10, 20):
            run.metrics({"loss": 0.25}, step)
    old, new = runs_of("train")
    assert (old.info.status, old.data.tags["error"]) == ("FAILED", "stop")
    assert (new.info.status, new.info.run_id) == ("FINISHED", run.id)
    assert curve_of(run.id, "loss") == [(10, 0.25), (20, 0.25)]
    assert [item.dataset.digest for item in new.inputs.dataset_inputs] == ["1" * 32]
    assert len(runs_of("pipeline")) == 1


def test_attempt_that_failed_before_it_logged_anything_of_its_work_is_continued(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING")
    with pytest.raises(EchosynthError), child_run("a", "train"):
        raise EchosynthError("stop")
    (first,) = runs_of("train")
    assert first.data.metrics  # of the machine
    with child_run("a", "train") as run:
        assert run.id == first.info.run_id


def test_result_that_is_gone_is_made_again_in_a_run_of_its_own(workspace: Path) -> None:
    for _ in range(2):
        with child_run("a", "train", work="state") as run:
            run.metrics({"loss": 0.5}, 10)
            run.metrics({"f1": 0.5})
    assert [run.info.status for run in runs_of("train")] == ["KILLED", "FINISHED"]
    for run in runs_of("train"):
        assert curve_of(run.info.run_id, "loss") == curve_of(run.info.run_id, "loss")[:1] == [(10, 0.5)]
        assert curve_of(run.info.run_id, "f1") == [(10, 0.5)]


def test_child_with_other_parameters_is_not_continued(workspace: Path) -> None:
    for seed in (1, 2):
        with pytest.raises(EchosynthError), child_run("a", "train", {"seed": seed}):
            raise EchosynthError("stop")
    assert [run.data.params["seed"] for run in runs_of("train")] == ["1", "2"]


def test_three_processes_on_a_fresh_store_lose_nothing_and_make_one_parent(bare: Path, python: Path) -> None:
    text = "import sys\nwith child_run(f'child {NUMBER}', 'train') as run: run.metrics({'number': NUMBER}, 0)"
    processes = [script(python, bare, text.replace("NUMBER", str(number))) for number in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    (parent,) = runs_of("pipeline")
    children = runs_of("train")
    assert sorted(child.data.metrics["number"] for child in children) == [0, 1, 2]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}


def test_experiment_in_a_temporary_copy_lands_in_the_parent_repository(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path_factory.mktemp("copy")
    (copy / "params.yaml").write_text("split:\n  seed: 99\n")
    (copy / "curve.csv").write_text("step,loss\n")
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    monkeypatch.setenv("DVC_EXP_NAME", "tidy-owl")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123abc")
    with child_run("a", "train") as run:
        run.artifact(copy / "curve.csv", "curves")
    finish_parent({"f1": 1.0}, {})
    monkeypatch.chdir(workspace)
    shutil.rmtree(copy)

    (parent,), (child,) = runs_of("pipeline"), runs_of("train")
    assert parent.info.run_name == "tidy-owl"
    assert parent.data.params == {"split.seed": "99"}
    for run in (parent, child):
        assert run.data.tags["dvc.exp_name"] == "tidy-owl"
        assert run.data.tags["dvc.baseline_rev"] == "0123abc"
        assert run.data.tags["echosynth.pipeline"].startswith("tidy-owl-")
    (file,) = (workspace / "mlartifacts").rglob("curve.csv")
    assert child.info.run_id in file.parts


def test_revision_and_lock_are_noted(workspace: Path) -> None:
    git(workspace, "init", "-q")
    (workspace / "dvc.lock").write_text("stages: {}\n")
    (workspace / "code.py").write_text("1")
    git(workspace, "add", "params.yaml", "dvc.lock", "code.py")
    git(workspace, "commit", "-qm", "start")
    head = git(workspace, "rev-parse", "HEAD").strip()
    with child_run("a", "train"):
        pass
    (workspace / "dvc.lock").write_text("stages: {a: {}}\n")
    (workspace / "code.py").write_text("2")
    with child_run("b", "train"):
        pass
    finish_parent({}, {})
    (parent,) = runs_of("pipeline")
    assert parent.info.run_name == f"repro {head[:7]}"
    first, second = runs_of("train")
    assert first.data.tags["dvc.baseline_rev"] == head
    assert (first.data.tags["git.dirty"], second.data.tags["git.dirty"]) == ("false", "true")
    md5 = subprocess.run(["md5sum", "dvc.lock"], cwd=workspace, capture_output=True, text=True, check=True).stdout[:32]
    assert parent.data.tags["dvc.lock"] == second.data.tags["dvc.lock"] == md5 != first.data.tags["dvc.lock"]


def test_a_commit_in_the_middle_does_not_split_the_row_and_its_end_tells_where_it_stood(workspace: Path) -> None:
    git(workspace, "init", "-q")
    (workspace / "code.py").write_text("1")
    git(workspace, "add", "params.yaml", "code.py")
    git(workspace, "commit", "-qm", "start")
    (workspace / "code.py").write_text("2")
    with child_run("a", "train"):
        pass
    assert runs_of("pipeline")[0].data.tags["git.dirty"] == "true"
    git(workspace, "commit", "-qam", "in the middle")
    with child_run("b", "train"):
        pass
    finish_parent({}, {})
    (parent,) = runs_of("pipeline")
    assert parent.data.tags["dvc.baseline_rev"] == git(workspace, "rev-parse", "HEAD").strip()
    assert parent.data.tags["git.dirty"] == "false"
    assert {child.data.tags["mlflow.parentRunId"] for child in runs_of("train")} == {parent.info.run_id}


def test_tags_tell_preset_kind_and_result(workspace: Path) -> None:
    for stage in ("classify", "sample", "register"):
        with child_run(stage, stage):
            pass
    finish_parent({"f1": 0.5}, {"further": 1})
    kinds = {name: runs_of(name)[0].data.tags for name in ("pipeline", "classify", "sample", "register")}
    assert {name: tags["echosynth.run_type"] for name, tags in kinds.items()} == {
        "pipeline": "pipeline",
        "classify": "training",
        "sample": "evaluation",
        "register": "registration",
    }
    assert {tags["echosynth.preset"] for tags in kinds.values()} == {"own"}
    params = read_yaml(workspace / "params.yaml")
    assert kinds["pipeline"]["echosynth.result"] == origin.result_key(params, {"f1": 0.5})


def test_stage_without_a_run_leaves_its_sentence_on_the_open_row(workspace: Path) -> None:
    with child_run("a", "train"):
        pass
    fail_parent(EchosynthError("the disk is full"), "split")
    (parent,) = runs_of("pipeline")
    assert (parent.info.status, parent.data.tags["error"]) == ("FAILED", "split: the disk is full")
    fail_parent(EchosynthError("something later"), "compare")
    assert [run.data.tags["error"] for run in runs_of("pipeline")] == ["split: the disk is full"]
    finish_parent({}, {})
    assert [run.info.status for run in runs_of("pipeline")] == ["FINISHED"]


def test_failure_before_the_first_training_has_a_row_even_on_a_fresh_clone(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "params.yaml").write_text("split:\n  seed: -1\n")
    monkeypatch.setenv("DVC_EXP_NAME", "tidy-owl")
    fail_parent(EchosynthError("split.seed = -1 is not allowed"), "ingest")
    (parent,) = runs_of("pipeline")
    assert (parent.info.run_name, parent.info.status) == ("tidy-owl", "FAILED")
    assert parent.data.tags["error"] == "ingest: split.seed = -1 is not allowed"
    assert parent.data.params == {"split.seed": "-1"}
    with child_run("a", "train"):  # the next attempt goes on in it
        pass
    assert [run.info.status for run in runs_of("pipeline")] == ["RUNNING"]


def test_another_attempt_that_fails_says_its_own_reason(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EchosynthError) as caught, child_run("a", "train"):
        raise EchosynthError("the first reason")
    fail_parent(caught.value, "train")  # as the stage does behind its run
    assert [run.data.tags["error"] for run in runs_of("pipeline")] == ["a: the first reason"]
    monkeypatch.setattr("echosynth.tracking.processes.driver", lambda: "another dvc")
    fail_parent(EchosynthError("the second reason"), "split")
    assert [run.data.tags["error"] for run in runs_of("pipeline")] == ["split: the second reason"]


def test_names_of_raw_files_stay_out(workspace: Path) -> None:
    fail_parent(EchosynthError("data/raw/unity/Jane Doe.dcm is torn"), "ingest", private=True)
    (parent,) = runs_of("pipeline")
    assert parent.data.tags["error"].startswith("ingest: EchosynthError; ")
    assert "Jane" not in str(parent.to_dictionary())


def test_failure_where_no_pipeline_is_makes_nothing(bare: Path) -> None:
    fail_parent(EchosynthError("params.yaml is missing"), "ingest")
    assert not list(bare.iterdir())


def test_the_explorations_and_the_study_have_rows_of_their_own(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with child_run("a", "train"):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="echosynth.stages.explore.page"))
        explored = finish_parent({"distance": 1.0}, {})
    study, explorations = runs_of("pipeline")
    assert (study.info.status, explorations.info.run_id) == ("RUNNING", explored)
    assert (explorations.info.run_name, explorations.data.tags["dvc.pipeline"]) == ("explore", "explore")
    assert finish_parent({"f1": 0.5}, {}) == study.info.run_id
    monkeypatch.setenv("DVC_EXP_NAME", "elsewhere")  # registered after an experiment whose name is not known any more
    with child_run("register", "register", late=True):
        pass
    assert runs_of("register")[0].data.tags["mlflow.parentRunId"] == study.info.run_id


def test_two_clones_with_an_experiment_of_the_same_name_have_two_rows_and_each_finds_its_own(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    monkeypatch.setenv("DVC_EXP_NAME", "tidy-owl")
    parents = []
    for clone in ("one", "two", "one", "two"):
        (workspace / clone).mkdir(exist_ok=True)
        monkeypatch.setenv("DVC_ROOT", str(workspace / clone))
        with child_run(f"by {clone}", "train") as run:
            parents.append(run.parent)
    assert parents == [parents[0], parents[1], parents[0], parents[1]]
    assert len(runs_of("pipeline")) == 2


def test_system_metrics_go_with_the_curve_and_even_the_shortest_run_has_some(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING")
    with child_run("short", "train"):
        pass
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    samples: list[None] = []
    collect = system.SystemMetrics._collect
    monkeypatch.setattr(system.SystemMetrics, "_collect", lambda self: samples.append(collect(self)))
    with child_run("long", "train") as run:
        for step in (5, 10):
            enough, until = len(samples) + 2, time.monotonic() + 600  # the very first one is dropped
            while len(samples) < enough:
                assert time.monotonic() < until, "no two samples within 600 s"
                time.sleep(0.01)
            run.metrics({"loss": 1.0}, step)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    with child_run("off", "train"):
        pass
    short, long, off = runs_of("train")
    assert 0 < short.data.metrics["system/system_memory_usage_percentage"] <= 100
    history = store.client().get_metric_history(long.info.run_id, "system/cpu_utilization_percentage")
    assert {5, 10} <= {point.step for point in history}
    assert all(0 <= point.value <= 100 for point in history)
    assert not off.data.metrics
    assert not [thread for thread in threading.enumerate() if thread.name == "system metrics"]


def test_late_work_goes_below_the_finished_execution_even_after_a_commit(workspace: Path) -> None:
    git(workspace, "init", "-q")
    parent = finish_parent({}, {})
    git(workspace, "add", "params.yaml")
    git(workspace, "commit", "-qm", "results")
    with pytest.raises(EchosynthError), child_run("register", "register", late=True):
        raise EchosynthError("stop")
    assert runs_of("register")[0].data.tags["mlflow.parentRunId"] == parent
    assert [run.info.status for run in runs_of("pipeline")] == ["FINISHED"]


def test_late_work_without_an_execution_stands_by_itself(workspace: Path) -> None:
    with child_run("register", "register", late=True):
        pass
    assert "mlflow.parentRunId" not in runs_of("register")[0].data.tags
    assert not runs_of("pipeline")


def test_artifacts_pictures_and_mappings(workspace: Path) -> None:
    (workspace / "grids").mkdir()
    (workspace / "grids" / "one.txt").write_text("1")
    with child_run("a", "train", tags={"arm": "mixed"}) as run:
        run.artifact(workspace / "grids", "samples")
        run.picture(b"\x89PNG...", "confusion.png")
        run.dict({"a": 1}, "card.json")
        with pytest.raises(EchosynthError, match="nowhere is missing"):
            run.artifact(workspace / "nowhere")
    folder = Path(store.client().download_artifacts(run.id, ""))
    assert (folder / "samples" / "one.txt").read_text() == "1"
    assert (folder / "confusion.png").read_bytes() == b"\x89PNG..."
    assert json.loads((folder / "card.json").read_text()) == {"a": 1}
    assert runs_of("train")[0].data.tags["arm"] == "mixed"


def test_many_parameters_and_metrics_go_in_whole(workspace: Path) -> None:
    with child_run("a", "train", {f"p{number}": number for number in range(250)}) as run:
        run.metrics({f"m{number}": number for number in range(1200)})
    (child,) = runs_of("train")
    assert len(child.data.params) == 250
    assert len(child.data.metrics) == 1200


def test_data_set_is_noted_by_its_hash(workspace: Path) -> None:
    with child_run("a", "train") as run:
        run.dataset("params", workspace / "params.yaml", "training")
        run.dataset("by hash", "f" * 32 + ".dir", "test")
        with pytest.raises(EchosynthError, match="nowhere is missing"):
            run.dataset("none", workspace / "nowhere", "test")
    inputs = {item.dataset.name: item for item in runs_of("train")[0].inputs.dataset_inputs}
    md5 = subprocess.run(["md5sum", "params.yaml"], cwd=workspace, capture_output=True, text=True, check=True).stdout
    assert inputs["params"].dataset.digest == md5[:32]
    assert inputs["by hash"].dataset.digest == "f" * 32 + ".dir"
    assert [(tag.key, tag.value) for tag in inputs["params"].tags] == [("mlflow.data.context", "training")]


def test_refusal_of_the_store_is_one_sentence(workspace: Path) -> None:
    store.connect()
    with pytest.raises(EchosynthError, match=r"cannot be used: Run .*not found") as caught:
        RunLogger("0" * 32, "", store.connect()).metrics({"loss": 1.0})
    assert "\n" not in str(caught.value)


def test_flat_params_keep_order_text_and_numbers() -> None:
    tree = {"a": {"b": 2e-05, "c": "text", "d": {"e": [1, "all"]}}, "f": None}
    assert flat_params(tree) == {"a.b": "2e-05", "a.c": "text", "a.d.e": '[1, "all"]', "f": "null"}
