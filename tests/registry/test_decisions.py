"""What is kept of promotions and rollbacks, in a small project whose networks are pretended."""

import json
import os
from pathlib import Path

import pytest
from tests.registry.pretended import SOURCE, add, everything

from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import read_split
from echosynth.registry import decisions, promotion
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
    assert [one["version"] for one in decisions.history()["decisions"]] == ["1", "2"]


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
