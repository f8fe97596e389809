import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from tests.tracking.results import PARAMS, SCORES, Repository, cell, changed, flat, md5, object_of

from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml
from echosynth.tracking import history, origin, rows, store
from echosynth.tracking.runs import finish_parent
from echosynth.tracking.sync import Synced, sync

OTHER = changed(PARAMS, diffusion={"steps": 30})
BETTER = changed(SCORES, test={"macro_auprc": 0.75})
CELL = "models/classifiers/real-60-resnet18"


@pytest.fixture
def repository(workspace: Path) -> Repository:
    return Repository()


def parents() -> list[Run]:
    """Rows, the oldest first."""
    return rows.search(store.connect(), "tags.`echosynth.stage` = 'pipeline'")[::-1]


def below(parent: Run) -> list[Run]:
    return rows.search(store.connect(), f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")


def everything() -> list[tuple[Any, ...]]:
    """All that the store holds, apart from ids."""
    return sorted(
        (
            run.info.run_name,
            run.info.status,
            sorted(run.data.params.items()),
            sorted(
                (key, sorted((p.step, p.value) for p in line))
                for key, line in rows.history(store.connect(), run).items()
            ),
            sorted(item.path for item in store.client().list_artifacts(run.info.run_id)),
            sorted((key, text) for key, text in run.data.tags.items() if key != "mlflow.parentRunId"),
        )
        for run in rows.search(store.connect())
    )


def test_commits_and_experiments_get_rows_as_their_executions_had(repository: Repository) -> None:
    start = repository.git("rev-parse", "HEAD")
    first = repository.result()
    lock = md5(Path("dvc.lock").read_bytes())
    second = repository.experiment("longer", OTHER, BETTER)
    assert sync(flat) == Synced(results=2, rows=2)
    commit, experiment = parents()
    assert (commit.info.run_name, experiment.info.run_name) == (f"repro {start[:7]}", "longer")
    assert commit.data.metrics == flat(SCORES)
    assert experiment.data.metrics == flat(BETTER)
    assert experiment.data.params["diffusion.steps"] == "30"
    assert commit.data.params["diffusion.learning_rate"] == "1e-05"
    assert commit.data.params["classifier.seeds"] == "[0, 1]"
    for run, minutes in ((commit, 2), (experiment, 3)):
        assert run.info.status == "FINISHED"
        assert run.info.start_time == run.info.end_time == 1000 * (1_700_000_000 + 60 * minutes)
    wanted = {
        "dvc.baseline_rev": start,
        "mlflow.source.git.commit": start,
        "dvc.lock": lock,
        "echosynth.revision": first,
        "echosynth.result": origin.result_key(PARAMS, flat(SCORES)),
        "echosynth.run_type": "pipeline",
        "echosynth.synced": "true",
        "echosynth.parameters": origin.params_hash(),
    }
    assert wanted.items() <= commit.data.tags.items()
    assert "dvc.exp_name" not in commit.data.tags
    assert (experiment.data.tags["dvc.exp_name"], experiment.data.tags["dvc.baseline_rev"]) == ("longer", first)
    assert experiment.data.tags["echosynth.revision"] == second
    assert [item.path for item in store.client().list_artifacts(commit.info.run_id)] == ["metrics.json"]


def test_the_reason_of_an_absent_score_is_a_tag_of_the_row(repository: Repository) -> None:
    scores = SCORES | {"absent": {"shift.macro_f1": "images of A4C alone"}}
    repository.result(scores=scores)
    assert sync(history.flat_scores).rows == 1
    (row,) = parents()
    assert row.data.tags["absent.shift.macro_f1"] == "images of A4C alone"
    assert row.data.metrics == flat(SCORES)


def test_a_second_call_adds_nothing(repository: Repository) -> None:
    repository.output(CELL, cell())
    repository.result()
    repository.experiment("longer", OTHER, BETTER)
    assert sync(flat) == Synced(results=2, rows=2, children=2)
    before = everything()
    assert sync(flat) == Synced(results=2)
    assert everything() == before


def test_the_row_of_an_execution_stays_and_gets_the_hash_of_the_committed_lock(repository: Repository) -> None:
    repository.write()
    Path("dvc.lock").write_text("before the last stage")
    live = finish_parent(flat(SCORES), read_yaml("params.yaml"))
    repository.write()
    repository.commit()
    assert sync(flat) == Synced(results=1, corrected=1)
    (row,) = parents()
    assert row.info.run_id == live
    assert row.data.tags["dvc.lock"] == md5(Path("dvc.lock").read_bytes())
    assert "echosynth.synced" not in row.data.tags
    assert sync(flat) == Synced(results=1)


def baseline(repository: Repository) -> str:
    """A commit of parameters, before they are run."""
    repository.write()
    for path in ("dvc.lock", "reports/metrics.json"):
        Path(path).unlink()
    return repository.commit()


def test_rows_of_one_result_from_two_baselines_get_each_its_own_lock(repository: Repository) -> None:
    locks = []
    for text in ("", "# a comment"):
        Path("code.py").write_text(text)
        baseline(repository)
        finish_parent(flat(SCORES), PARAMS)  # before DVC completes dvc.lock
        repository.output(f"code of {len(text)} letters", text.encode())
        repository.result()
        locks.append(md5(Path("dvc.lock").read_bytes()))
    assert locks[0] != locks[1]
    assert sync(flat) == Synced(results=1, corrected=2)
    assert [row.data.tags["dvc.lock"] for row in parents()] == locks
    assert sync(flat) == Synced(results=1)


def test_rows_of_one_result_from_two_experiments_get_each_its_own_lock(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline(repository)
    locks = []
    for name in ("first", "second"):  # on one commit, with code that is not committed
        with monkeypatch.context() as patch:
            patch.setenv("DVC_EXP_NAME", name)
            finish_parent(flat(SCORES), PARAMS)
        repository.output(f"code of {name}", name.encode())
        revision = repository.experiment(name)
        locks.append(md5(f"{repository.git('show', f'{revision}:dvc.lock')}\n".encode()))
    assert sync(flat) == Synced(results=1, corrected=2)
    assert {row.info.run_name: row.data.tags["dvc.lock"] for row in parents()} == dict(
        zip(("first", "second"), locks, strict=True)
    )
    assert sync(flat) == Synced(results=1)


def test_a_row_from_before_results_had_keys_is_known_by_its_numbers(repository: Repository) -> None:
    repository.result()
    live = finish_parent(flat(SCORES), read_yaml("params.yaml") | {"default": 1})
    store.client().delete_tag(live, "echosynth.result")
    assert sync(flat) == Synced(results=1)
    (row,) = parents()
    assert row.data.tags["echosynth.result"] == origin.result_key(PARAMS, flat(SCORES))


def test_a_row_that_failed_does_not_stand_for_a_result(repository: Repository) -> None:
    repository.result()
    live = finish_parent(flat(SCORES), read_yaml("params.yaml"))
    store.client().set_terminated(live, "FAILED")
    assert sync(flat).rows == 1


def test_a_commit_that_takes_an_experiment_over_has_no_row_of_its_own(repository: Repository) -> None:
    repository.result()
    repository.experiment("longer", OTHER, BETTER)
    repository.result(OTHER, BETTER)
    assert sync(flat) == Synced(results=2, rows=2)
    assert parents()[1].info.run_name == "longer"


def test_child_runs_come_from_the_cache(repository: Repository) -> None:
    repository.output(CELL, cell())
    repository.output("reports/index.html", b"<html>")
    repository.result()
    assert sync(flat) == Synced(results=1, rows=1, children=2)
    (row,) = parents()
    assert {item.path for item in store.client().list_artifacts(row.info.run_id)} == {"index.html", "metrics.json"}
    second, first = sorted(below(row), key=lambda run: run.info.run_name)[::-1]
    assert (first.info.run_name, first.info.status) == ("resnet18 real 60 seed 0", "FINISHED")
    assert first.data.params["real_images"] == "60"
    assert first.data.params["classifier.steps"] == "6"
    curve = store.client().get_metric_history(second.info.run_id, "training_loss")
    assert [(point.step, point.value) for point in curve] == [(3, 1.25), (6, 0.5)]
    assert {"echosynth.stage": "classify", "echosynth.run_type": "training", "echosynth.arm": "real"}.items() <= (
        first.data.tags.items()
    )
    assert first.data.tags["dvc.lock"] == row.data.tags["dvc.lock"]
    (data,) = first.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("subset-60", "5b" * 16)
    assert json.loads(data.dataset.source) == {"uri": "data/split/subsets/60.csv", "md5": "5b" * 16}
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
    assert first.data.metrics["validation.macro_auprc"] == 0.30000000000000004  # to the last bit
    assert {item.path for item in store.client().list_artifacts(first.info.run_id)} == {"confusion.png", "metrics.json"}
    picture = Path(store.client().download_artifacts(second.info.run_id, "confusion.png"))
    assert picture.read_bytes() == b"matrix 1"
    assert picture.stat().st_mode & 0o200  # the cache is read-only, its copies are not


def test_a_page_with_pictures_of_patients_stays_out(repository: Repository) -> None:
    repository.output("reports/index.html", b"<html>")
    repository.result(changed(PARAMS, data={"root": "data/raw/real"}))
    sync(flat)
    (row,) = rows.search(store.connect(), "tags.`echosynth.stage` = 'pipeline'")
    assert [item.path for item in store.client().list_artifacts(row.info.run_id)] == ["metrics.json"]


def test_what_the_cache_lacks_is_counted_and_comes_with_a_later_call(repository: Repository) -> None:
    names = repository.output(CELL, cell()) + repository.output("reports/index.html", b"<html>")
    repository.output("reports/final", {"run.json": "{}"})  # of another form: named, and not waited for
    repository.output("reports/fidelity/60", {"metrics.json": {}})  # from before records: counted, and not waited for
    repository.result()
    kept = {name: object_of(name).read_bytes() for name in names}
    for name in kept:
        object_of(name).unlink()
    done = sync(flat)
    assert (done.rows, done.children, done.missing, done.unrecorded) == (1, 0, 2, 1)
    assert [what.partition(", ")[2] for what in done.skipped] == ["reports/final"]
    for name, content in kept.items():
        object_of(name).write_bytes(content)
    assert (sync(flat).children, sync(flat).missing) == (2, 0)
    (row,) = parents()
    assert len(below(row)) == 2
    assert "index.html" in {item.path for item in store.client().list_artifacts(row.info.run_id)}


def test_a_torn_revision_is_named_and_the_others_go_on(repository: Repository) -> None:
    repository.result()
    repository.write(OTHER)
    Path("reports/metrics.json").write_text('{"test": ')
    torn = repository.commit()
    repository.write(changed(PARAMS, diffusion={"steps": 31}))
    Path("reports/metrics.json").write_text('{"test": 3}')
    flawed = repository.commit()
    repository.experiment("fine", OTHER, BETTER)
    done = sync(flat)
    assert (done.results, done.rows) == (2, 2)
    assert set(done.skipped) == {f"commit {torn[:7]}", f"commit {flawed[:7]}"}
    assert "reports/metrics.json is torn" in done.skipped[f"commit {torn[:7]}"]
    assert "no scores by branch and name" in done.skipped[f"commit {flawed[:7]}"]


def test_scores_of_other_parameters_get_no_row(repository: Repository) -> None:
    repository.result()
    repository.write(OTHER)
    Path("params.yaml").write_text("diffusion:\n  steps: 77\n")
    repository.commit()
    assert sync(flat) == Synced(results=1, rows=1, stale=1)


class Killed(BaseException):
    """Nothing catches it, like a signal."""


def killed_at(number: int, patch: pytest.MonkeyPatch) -> None:
    """Let the MLflow client stop before its write of this number."""
    calls = iter(range(1, 1000))

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            if next(calls) == number:
                raise Killed
            return original(*words, **more)

        return call

    for name in ("create_run", "log_batch", "log_inputs", "log_artifacts", "set_terminated"):
        patch.setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))


@pytest.mark.parametrize("number", range(1, 15, 2))
def test_a_call_that_was_killed_is_completed_by_the_next(
    repository: Repository, number: int, migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.output(CELL, cell())
    repository.result()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(number, patch)
        sync(flat)
    assert not [run for run in parents() if run.info.status == "FINISHED"]
    assert sync(flat).rows == 1
    killed = everything()
    shutil.copy(migrated, tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    assert sync(flat) == Synced(results=1, rows=1, children=2)
    assert everything() == killed


def test_two_calls_at_once_add_each_row_once(repository: Repository) -> None:
    repository.result()
    for number in range(5):
        repository.experiment(f"exp-{number}", changed(PARAMS, split={"seed": number + 10}), SCORES)
    script = "from echosynth.tracking.sync import sync; from tests.tracking.results import flat; print(sync(flat).rows)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    both = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert sum(int(process.communicate()[0]) for process in both) == 6
    assert len(parents()) == 6


def test_nothing_is_read_in_the_middle_of_a_merge(repository: Repository) -> None:
    repository.result()
    sync(flat)
    before = everything()
    repository.git("checkout", "-q", "-b", "other", "HEAD~1")
    Path("params.yaml").write_text("sample:\n  guidance: 2.0\n")
    repository.git("commit", "-qam", "other")
    with pytest.raises(subprocess.CalledProcessError):
        repository.git("merge", "-")
    with pytest.raises(EchosynthError, match=r"a merge is not finished: params\.yaml has conflicts; resolve them"):
        sync(flat)
    assert everything() == before


def test_a_shallow_clone_says_that_results_are_missing(repository: Repository, tmp_path_factory: Any) -> None:
    repository.result()
    repository.result(OTHER, BETTER)
    clone = tmp_path_factory.mktemp("clone") / "shallow"
    repository.git("clone", "-q", "--depth", "1", f"file://{Path.cwd()}", str(clone))
    assert not sync(flat).shallow
    os.chdir(clone)
    assert sync(flat).shallow


def test_without_a_result_it_says_what_to_do(repository: Repository) -> None:
    with pytest.raises(
        EchosynthError, match=r"no commit and no experiment holds reports/metrics\.json; run `dvc repro`"
    ):
        sync(flat)
