import subprocess
from pathlib import Path

import pytest
from tests.track.results import PARAMS, SCORES, Repository, changed

from echosynth.errors import EchosynthError
from echosynth.track import history


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


def test_without_a_lock_nothing_speaks_against_scores(repository: Repository) -> None:
    repository.write()
    Path("dvc.lock").unlink()
    repository.commit()
    (result,) = history.results()
    assert history.read(result).belongs()
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
