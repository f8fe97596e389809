"""What is kept of promotions and rollbacks, in a small project whose networks are pretended."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.registry.pretended import SOURCE, add, everything

from echosynth.common import git
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json, write_json
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import read_split
from echosynth.registry import decisions, promotion
from echosynth.registry.decisions import Decision
from echosynth.registry.promotion import promote
from echosynth.registry.versions import NAME, aliases
from echosynth.tracking import store


def test_a_decision_is_kept_as_file_tag_and_run(project: Path, params: Params) -> None:
    add(0.9)
    decision = promote(params, why="the first")
    (path,) = (project / "models" / "registry").iterdir()
    content = read_json(path)
    assert content == json.loads(json.dumps(decision.as_json()))
    assert (content["version"], content["before"], content["after"], content["accepted"]) == ("1", None, "1", True)
    assert {gate["name"] for gate in content["gates"]} >= {"macro F1", "recall of A2C", "calibration error"}
    version = store.client().get_model_version(NAME, "1")
    assert json.loads(version.tags[f"decision.{decision.key}"]) == content
    assert version.tags["promotion"] == "promote accepted"
    assert version.tags["promotion.champion"] == "none -> 1"
    (run,) = store.client().search_runs([store.connect().experiment])
    assert (run.info.status, run.data.tags["echosynth.run_type"]) == ("FINISHED", "promotion")
    assert [file.path for file in store.client().list_artifacts(run.info.run_id)] == ["decision.json"]
    assert run.data.metrics["test.macro_f1"] == pytest.approx(decision.scores["test.macro_f1"])


def test_no_patient_is_named_in_what_is_kept(project: Path, params: Params) -> None:
    add(0.9)
    promote(params, why="a test")
    kept = json.dumps(everything()) + "".join(path.read_text() for path in Path("models/registry").iterdir())
    ids = read_split([SOURCE], "test")
    assert not [name for name in (*ids.ids, *(f'"{group}"' for group in ids.groups)) if name in kept]


def test_a_reason_is_one_line(project: Path, params: Params) -> None:
    add(0.9)
    assert promote(params, why=" better\n on clinic B ").why == "better on clinic B"


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "{}", "[1]"])
def test_a_damaged_file_of_a_decision_is_named(project: Path, params: Params, text: str) -> None:
    add(0.9)
    promote(params, why="a test")
    (path,) = Path("models/registry").iterdir()
    path.write_text(text)
    with pytest.raises(EchosynthError, match=rf"{path.name} holds no decision .* bring it back with `git checkout"):
        decisions.history()


def test_history_outlives_the_store_and_the_files(project: Path, params: Params) -> None:
    add(0.9)
    add(0.95)
    promote(params, "1", "a test")
    promote(params, "2", "a test")
    (path, _) = sorted(Path("models/registry").iterdir())
    path.unlink()  # a colleague's clone of an earlier commit
    store.client().delete_model_version(NAME, "2")
    found = decisions.history()
    assert [one["version"] for one in found["decisions"]] == ["1"]
    assert [(one["version"], one["held_as"]) for one in found["elsewhere"]] == [("2", [])]


@pytest.fixture
def repository(project: Path) -> Path:
    """The project in git, with what a project ignores."""
    (project / ".gitignore").write_text("/mlflow.db*\n/mlartifacts\n/.resume\n/logged-*\n/data\n")
    with (project / "gitconfig").open("a") as file:
        file.write("\temail = ada@lab.example\n[init]\n\tdefaultBranch = main\n[diff]\n\trenames = copies\n")
    git.text("init")
    commit("start")
    return project


def commit(message: str) -> None:
    git.text("add", "--all")
    git.text("commit", "--quiet", "--message", message)


def of_another_store(sha: str, why: str, **changes: Any) -> str:
    """Write a colleague's decision into the tree; name of its file."""
    theirs = Decision("promote", True, "2", "1", "2", sha, "Bob", decisions.now(), why)
    theirs = replace(theirs, **changes)
    write_json(decisions.FOLDER / f"{theirs.key}.json", theirs.as_json())
    return f"{theirs.key}.json"


def shown(part: str) -> list[str]:
    return [one["why"] for one in decisions.history()[part]]


def test_what_an_experiment_took_from_the_tree_is_found_in_git(repository: Path) -> None:
    """`dvc exp apply` in a clean tree deletes what was committed after the experiment's start (tried with DVC 3.67)."""
    add(0.9)
    name = of_another_store("a" * 32, "theirs")
    commit("a decision")
    (decisions.FOLDER / name).unlink()
    assert shown("elsewhere") == ["theirs"]
    of_another_store("a" * 32, "the next")  # nearly the same text: git may call it a renamed one
    commit("the experiment, and another decision")
    assert shown("elsewhere") == ["theirs", "the next"]


def test_a_decision_whose_branch_was_merged_without_it_is_found(repository: Path) -> None:
    add(0.9)
    git.text("checkout", "--quiet", "-b", "side")
    of_another_store("a" * 32, "theirs")
    commit("a decision")
    git.text("checkout", "--quiet", "main")
    Path("notes").touch()
    commit("notes")
    assert shown("elsewhere") == ["theirs"]  # of a branch that is not merged yet
    git.text("merge", "--quiet", "--strategy", "ours", "--no-edit", "side")
    assert not list(decisions.FOLDER.glob("*.json")) and shown("elsewhere") == ["theirs"]
    git.text("branch", "--delete", "side")
    assert shown("elsewhere") == ["theirs"]
    git.text("checkout", "--quiet", "--detach")
    git.text("branch", "--delete", "--force", "main")
    assert shown("elsewhere") == ["theirs"]


def test_a_file_counts_once_and_as_it_is_now(repository: Path) -> None:
    add(0.9)
    name = of_another_store("a" * 32, "a tpyo")
    commit("a decision")
    path = decisions.FOLDER / name
    text = path.read_text()
    path.write_text(text.replace("tpyo", "second word"))
    commit("spelling")
    path.write_text("<<<<<<< HEAD\n" + text)
    commit("a conflict's marks")
    path.unlink()
    assert shown("elsewhere") == ["a second word"]
    path.write_text(text.replace("tpyo", "typo"))
    assert shown("elsewhere") == ["a typo"]


def test_decisions_of_another_store_are_on_no_version_of_this_one(repository: Path, params: Params) -> None:
    """A colleague without a server: the same numbers, other models, but for one that both have."""
    add(0.9)
    add(0.95)
    shared = store.client().get_model_version(NAME, "1").tags["model_sha"]
    of_another_store("b" * 32, "their own model")
    of_another_store(shared, "the model of both")
    of_another_store(shared, "the number of both too", version="1", before=None, after="1")
    commit("decisions of a colleague")
    decision = promote(params, "2", "the first here")
    assert (decision.before, decision.after) == (None, "2")
    found = decisions.history()
    assert [(one["version"], one["before"], one["why"]) for one in found["decisions"]] == [
        ("2", None, "the first here")
    ]
    assert [(one["held_as"], one["why"]) for one in found["elsewhere"]] == [
        ([], "their own model"),
        (["1"], "the model of both"),
        (["1"], "the number of both too"),
    ]
    with pytest.raises(EchosynthError, match="there is no previous champion"):
        promotion.rollback("theirs says that 1 was champion")


def test_a_model_without_a_hash_is_nobody_elses(project: Path) -> None:
    add(0.9, model_sha=None)
    of_another_store("", "without a hash")
    assert [(one["held_as"], one["why"]) for one in decisions.history()["elsewhere"]] == [([], "without a hash")]


def test_without_git_the_tree_and_the_store_are_read(
    project: Path, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    add(0.9)
    promote(params, why="here")
    of_another_store("b" * 32, "theirs")
    assert (shown("decisions"), shown("elsewhere")) == (["here"], ["theirs"])
    said = capsys.readouterr().err
    assert said.startswith("decisions that only git's history holds are not shown: ") and "not a git repository" in said


def test_who_decides_where_the_account_has_no_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    assert decisions.who() == "Ada"
    (project / "gitconfig").write_text("")
    monkeypatch.setattr(decisions.getpass, "getuser", nameless)
    assert decisions.who() == f"user {os.getuid()}"


def test_a_decision_stands_without_its_summary(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(0.9)

    def silent(decision: object) -> None:
        raise EchosynthError("MLflow does not answer; try again")

    monkeypatch.setattr(promotion, "summarise", silent)
    assert promote(params, why="a test").accepted
    words = "the decision stands, but not all of its tags are written: MLflow does not answer; try again\n"
    assert capsys.readouterr().err == words
    assert aliases() == {"champion": "1"} and decisions.history()["decisions"][0]["accepted"]
