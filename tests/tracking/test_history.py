import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.tracking.results import PARAMS, SCORES, Repository, changed, md5

from echosynth.common.errors import EchosynthError
from echosynth.tracking import history


@pytest.fixture
def repository(bare: Path) -> Repository:
    return Repository()


def revisions() -> list[str]:
    return [result.revision for result in history.results()]


def test_commits_with_new_results_are_found_the_oldest_first(repository: Repository) -> None:
    start = repository.git("rev-parse", "HEAD")
    first = repository.result()
    Path("code.py").touch()
    code = repository.commit()
    second = repository.result(changed(PARAMS, split={"seed": 4}), changed(SCORES, test={"macro_auprc": 0.75}))
    found = history.results()
    assert [result.revision for result in found] == [first, second]
    assert [result.baseline for result in found] == [start, code]
    assert [result.name for result in found] == [f"repro {start[:7]}", f"repro {code[:7]}"]
    assert found[0].seconds == 1_700_000_000 + 60 * 2
    assert (found[0].lock_before, found[1].lock_before) == ("", found[0].lock)
    assert (history.read(found[1]).params["split"]["seed"], history.read(found[1]).scores["test"]["macro_auprc"]) == (
        4,
        0.75,
    )


def test_parameters_that_were_changed_without_a_run_are_no_result(repository: Repository) -> None:
    first = repository.result()
    Path("params.yaml").write_text("split:\n  seed: 8\n")
    repository.commit()
    assert revisions() == [first]


def test_experiments_have_names_and_baselines_and_the_queue_is_left_out(repository: Repository) -> None:
    baseline = repository.result()
    other = repository.experiment("odd-name.2", changed(PARAMS, split={"seed": 5}))
    for queue in ("stash", "celery/stash", "exec/EXEC_HEAD"):
        repository.git("update-ref", f"refs/exps/{queue}", repository.git("rev-parse", "HEAD"))
    later = repository.result(changed(PARAMS, split={"seed": 6}))
    first, experiment, last = history.results()
    assert (first.revision, experiment.revision, last.revision) == (baseline, other, later)
    assert (experiment.experiment, experiment.name, experiment.baseline) == ("odd-name.2", "odd-name.2", baseline)
    assert (experiment.lock_before, last.lock_before) == (first.lock, first.lock)
    assert str(experiment) == f"odd-name.2 {other[:7]}"


def test_branches_count_and_a_merge_brings_no_result_of_its_own(repository: Repository) -> None:
    first = repository.result()
    repository.git("checkout", "-q", "-b", "side")
    side = repository.result(changed(PARAMS, split={"seed": 5}))
    repository.git("checkout", "-q", "main")
    Path("code.py").touch()
    repository.commit()
    assert revisions() == [first, side]
    repository.git("merge", "-q", "--no-edit", "side")
    assert revisions() == [first, side]


def test_a_detached_head_counts(repository: Repository) -> None:
    repository.git("checkout", "-q", "--detach")
    revision = repository.result()
    assert revisions() == [revision]


def test_a_shallow_clone_is_enough(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.result()
    last = repository.result(changed(PARAMS, split={"seed": 5}))
    repository.git("clone", "-q", "--depth", "1", f"file://{tmp_path}", "clone")
    monkeypatch.chdir("clone")
    (only,) = history.results()
    assert (only.revision, only.lock_before) == (last, "")
    assert history.read(only).params["split"]["seed"] == 5


def test_a_project_may_be_a_folder_of_the_repository(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "project").mkdir()
    monkeypatch.chdir("project")
    repository = Repository()
    repository.result()
    (bare / "project/.git").rename(bare / ".git")
    moved = repository.commit()
    assert moved in revisions()


def test_numbers_are_read_as_dvc_writes_them(repository: Repository) -> None:
    repository.write()
    Path("params.yaml").write_text("diffusion:\n  learning_rate: 2e-05\n  seed: 5\n")
    repository.commit()
    (result,) = history.results()
    assert history.read(result).params == {"diffusion": {"learning_rate": 2e-05, "seed": 5}}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("reports/metrics.json", '{"test": {"macro', "reports/metrics.json is torn"),
        ("reports/metrics.json", "[1, 2]", "reports/metrics.json holds no mapping"),
        ("params.yaml", "split: [1, 2", "params.yaml is torn"),
        ("params.yaml", b"\xff\xfe\x00", "params.yaml is torn"),
        ("params.yaml", "", "params.yaml is missing or empty"),
    ],
)
def test_a_torn_revision_says_which_file(repository: Repository, name: str, text: str | bytes, sentence: str) -> None:
    repository.write()
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    repository.commit()
    (result,) = history.results()
    with pytest.raises(EchosynthError, match=sentence):
        history.read(result)


def test_scores_belong_to_the_parameters_with_which_the_report_was_made(repository: Repository) -> None:
    repository.write()
    complete = repository.commit()
    repository.write(changed(PARAMS, diffusion={"steps": 99}), changed(SCORES, test={"macro_auprc": 0.75}))
    Path("params.yaml").write_text("diffusion:\n  steps: 100\n")
    partial = repository.commit()
    repository.write(changed(PARAMS, diffusion={"steps": 98}))
    Path("reports/metrics.json").write_text('{"test": {"macro_auprc": 1.0}}')
    edited = repository.commit()
    found = {result.revision: history.read(result).belongs() for result in history.results()}
    assert found == {complete: True, partial: False, edited: False}


def stage(params: dict[str, Any], deps: dict[str, str], outs: dict[str, str]) -> dict[str, Any]:
    """A stage of dvc.lock; deps and outs are paths with their hashes."""
    lists = {
        kind: [{"path": path, "md5": value} for path, value in files.items()]
        for kind, files in (("deps", deps), ("outs", outs))
    }
    return {"params": {"params.yaml": copy.deepcopy(params)}, **lists}


def graph(repository: Repository) -> dict[str, Any]:
    """The stages of a complete result: split, a matrix of classifiers, final, report."""
    repository.write()
    scores = md5(Path("reports/metrics.json").read_bytes())
    return {
        "split": stage({"split": PARAMS["split"]}, {}, {"data/split": "s1"}),
        "echo": stage({"fidelity.count": 8}, {"data/split/assignment.csv": "a1"}, {"models/features": "e1"}),
        "classify@60": stage({"classifier.steps": 6}, {"models/features": "e1"}, {"models/classifiers/real-60": "c1"}),
        "classify@90": stage({"classifier.steps": 1}, {"models/features": "e0"}, {"models/classifiers/real-90": "c0"}),
        "final": stage({"sample.guidance": 1.0}, {"models/classifiers": "cs"}, {"reports/final": "f1"}),
        "report": stage(
            {"classifier": PARAMS["classifier"]},
            {"reports/final": "f1", "data/split": "s1", "src/report.py": "x"},
            {"reports/metrics.json": scores},
        ),
    }


def belongs(repository: Repository, stages: dict[str, Any]) -> bool:
    """Whether a commit with this dvc.lock has scores that belong to its parameters."""
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    return bool(history.scores_of(repository.commit()))


def test_a_complete_run_owns_its_scores_whatever_dvc_lock_keeps_of_a_matrix(repository: Repository) -> None:
    stages = graph(repository)
    assert belongs(repository, stages)
    stages["retired"] = stage({"split.seed": 99}, {}, {"reports/other": "o"})  # nothing depends on it
    assert belongs(repository, stages)
    del stages["report"]
    assert belongs(repository, stages)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("split", "split", {"seed": 4}), ("echo", "fidelity.count", 9), ("final", "sample.guidance", 2)],
)
def test_scores_belong_to_the_parameters_of_every_stage_before_the_report(
    repository: Repository, name: str, key: str, value: object
) -> None:
    stages = graph(repository)
    stages[name]["params"]["params.yaml"][key] = value
    assert not belongs(repository, stages)


@pytest.mark.parametrize(("name", "path"), [("final", "reports/final"), ("split", "data/split")])
def test_scores_do_not_belong_when_a_stage_ran_and_the_report_did_not(
    repository: Repository, name: str, path: str
) -> None:
    stages = graph(repository)
    stages[name]["outs"] = [{"path": path, "md5": "new"}]
    assert not belongs(repository, stages)


def test_stages_that_had_another_name_once_are_passed_over(repository: Repository) -> None:
    stages = graph(repository)
    stages["phantom"] = stage({"split.seed": 99}, {}, {"data/split": "s1"})  # as an earlier dvc.yaml had it
    assert not belongs(repository, stages)  # it is of today: nothing was renamed
    stages["feature-network"] = stages.pop("echo")
    assert belongs(repository, stages)


def test_scores_of_a_commit_are_flat_numbers(repository: Repository) -> None:
    commit = repository.experiment("longer")
    assert history.scores_of(commit) == {
        "best.validation_macro_auprc": 0.75,
        "test.macro_auprc": 0.5,
        "test.recall_A2C": 0.25,
    }


@pytest.mark.parametrize(
    "text", ['{"test": {"macro', "[1]", '{"test": {"macro_auprc": "high"}}', '{"test": {"x": null}}']
)
def test_torn_scores_are_none(repository: Repository, text: str) -> None:
    repository.write()
    Path("reports/metrics.json").write_text(text)
    Path("dvc.lock").unlink()
    assert history.scores_of(repository.commit()) == {}


def test_reasons_of_absent_scores_are_words_and_no_scores(repository: Repository) -> None:
    repository.result(scores=SCORES | {"absent": {"shift.macro_f1": "images of A4C alone"}})
    found = history.read(history.results()[-1]).scores
    assert history.flat_scores(found) == history.flat_scores(SCORES)
    assert history.flat_reasons(found) == {"absent.shift.macro_f1": "images of A4C alone"}
    assert history.flat_reasons(SCORES) == {}


def test_a_commit_without_scores_and_one_that_is_unknown_have_none(repository: Repository) -> None:
    assert history.scores_of(repository.git("rev-parse", "HEAD")) == {}
    assert history.scores_of("0" * 40) == {}


@pytest.mark.parametrize("lock", ["stages: 3", "stages: {report: 3}", "- 1", "stages: {report: {outs: {", "\t"])
def test_a_torn_lock_says_nothing(repository: Repository, lock: str) -> None:
    repository.write()
    Path("dvc.lock").write_text(lock)
    assert history.scores_of(repository.commit())


def test_without_a_lock_nothing_is_known_of_scores(repository: Repository) -> None:
    repository.write()
    Path("dvc.lock").unlink()
    repository.commit()
    (result,) = history.results()
    assert not history.read(result).belongs()
    assert history.read(result).lock_hash == ""


def test_objects_of_any_content_are_read(repository: Repository) -> None:
    Path("odd").write_bytes(b"\n\nblob 3\n\x00\xff")
    Path("other").write_bytes(b"x")
    names = [repository.git("hash-object", "-w", name) for name in ("odd", "other")]
    assert history.blobs(names[0], "", names[1], names[0]) == [
        b"\n\nblob 3\n\x00\xff",
        b"",
        b"x",
        b"\n\nblob 3\n\x00\xff",
    ]
    with pytest.raises(EchosynthError, match=f"git has no object {'0' * 40}"):
        history.blobs("0" * 40)


def test_a_repository_without_commits_holds_nothing(bare: Path) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    assert history.results() == []


def test_without_a_repository_it_says_what_to_do(bare: Path) -> None:
    with pytest.raises(EchosynthError, match=r"`git for-each-ref` failed \(fatal: not a git repository.*root"):
        history.results()
