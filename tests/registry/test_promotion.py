"""Promotion and rollback in a small project whose networks are pretended."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from tests.registry.pretended import add, everything, promoted, refused, with_gates

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.registry import decisions, judging, promotion
from echosynth.registry.promotion import CLAIM, promote, rollback, unlock
from echosynth.registry.scoring import compare_models
from echosynth.registry.versions import NAME, aliases
from echosynth.tracking import store


def test_the_first_version_becomes_champion_and_the_next_better_one_takes_over(project: Path, params: Params) -> None:
    add(0.9)
    first = promote(params, why="the first")
    assert first.accepted and (first.before, first.after) == (None, "1")
    assert "no champion yet" in {gate.value for gate in first.gates}
    assert aliases() == {"champion": "1"}
    add(0.95)
    second = promote(params, "2", "better")
    assert second.accepted
    assert aliases() == {"champion": "2", "previous": "1"}
    assert (second.who, second.why) == ("Ada", "better")
    assert 0.9 < second.scores["test.macro_f1"] < 1
    assert [model.name for model in store.client().search_registered_models()] == [NAME]  # no claim is left


def test_a_worse_version_is_refused_with_the_gate_named_and_that_is_kept(project: Path, params: Params) -> None:
    add(0.97)
    promote(params, why="a test")
    add(0.85)  # above the floors, and much worse
    decision = promote(params, why="it is smaller")
    assert not decision.accepted
    assert decision.failed == ["macro AUPRC against the champion", "macro F1 against the champion"]
    assert aliases() == {"champion": "1"}
    assert store.client().get_model_version(NAME, "2").tags["promotion"].startswith("promote refused by macro AUPRC")
    assert len(list(Path("models/registry").iterdir())) == 2


def test_a_version_below_the_floors_is_refused_without_a_champion_too(project: Path, params: Params) -> None:
    add(0.5)
    decision = promote(params, why="a test")
    assert {"macro F1", *(f"recall of {view}" for view in VIEWS)} <= set(decision.failed)
    assert aliases() == {}


def test_on_a_test_set_of_one_view_gates_ask_for_what_it_can_give(
    project: Path, params_with: Callable[..., Params]
) -> None:
    split, manifest = pd.read_csv(paths.ASSIGNMENT), pd.read_csv(paths.SOURCES / "tmed2/manifest.csv")
    shown = set(manifest.loc[manifest["view"] == "A4C", "id"])
    split[(split["split"] == "train") | split["id"].isin(shown)].to_csv(paths.ASSIGNMENT, index=False)
    add(0.9)
    refused = promote(with_gates(params_with), why="as it is")
    assert refused.failed == ["macro F1", "recall of A2C", "recall of PLAX", "recall of PSAX"]
    assert refused.gates[0].value == "not given: the test set has images of A4C alone"
    assert "no macro_auprc, macro_f1, auprc_A4C: the test set has images of A4C alone" in refused.notes
    assert set(refused.scores) == {"test.loss", "test.accuracy", "test.recall_A4C", "test.calibration_error"}
    floors = {"min_macro_f1": 0.0, "min_recall": dict.fromkeys(VIEWS, 0.0) | {"A4C": 0.7}}
    params = with_gates(params_with, **floors)
    assert promote(params, why="A4C is what it is for").accepted
    add(0.95)
    assert promote(params, why="better").failed == ["macro AUPRC against the champion", "macro F1 against the champion"]
    margins = {"macro_auprc": 1.0, "macro_f1": 1.0}
    assert promote(with_gates(params_with, **floors, max_regression=margins), why="better").accepted
    notes = compare_models("1", "2", params)["notes"]
    assert "no recall_PLAX, auprc_PLAX: the test set has no image of PLAX" in notes


def test_a_dry_run_changes_nothing(project: Path, params: Params) -> None:
    add(0.9)
    before = everything()
    decision = promote(params, dry_run=True)
    assert decision.accepted
    assert everything() == before


def test_rollback_exchanges_the_two_and_can_be_taken_back(project: Path, params: Params) -> None:
    for skill in (0.9, 0.95):
        add(skill)
        promote(params, why="a test")
    back = rollback("it fails on clinic B")
    assert (back.before, back.after) == ("2", "1")
    assert aliases() == {"champion": "1", "previous": "2"}
    rollback("it was the clinic's fault")
    assert aliases() == {"champion": "2", "previous": "1"}
    found = decisions.history()
    assert [(one["action"], one["version"], one["why"]) for one in found["decisions"]] == [
        ("promote", "1", "a test"),
        ("promote", "2", "a test"),
        ("rollback", "1", "it fails on clinic B"),
        ("rollback", "2", "it was the clinic's fault"),
    ]
    assert [(version["version"], version["aliases"]) for version in found["versions"]] == [
        ("2", ["champion"]),
        ("1", ["previous"]),
    ]
    assert set(found["versions"][0]["scores"]) == set(decisions.SHOWN)


def test_no_champion_to_go_back_from(project: Path) -> None:
    add(0.9)
    refused("there is no champion", lambda: rollback("why not"))


def test_the_champion_may_not_change_under_a_decision(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    for skill in (0.9, 0.95, 0.97):
        add(skill)
    promote(params, "1", "a test")
    judge = judging.judge

    def slow(*arguments: Any) -> Any:
        found = judge(*arguments)
        store.client().set_registered_model_alias(NAME, "champion", "2")  # by hand, which no claim can prevent
        return found

    monkeypatch.setattr(judging, "judge", slow)
    kept = {path.name for path in Path("models/registry").iterdir()}
    with pytest.raises(EchosynthError, match=r"changed from 1 to 2 while version 3 was compared .* nothing is changed"):
        promote(params, "3", "a test")
    assert aliases() == {"champion": "2"}
    assert {path.name for path in Path("models/registry").iterdir()} == kept
    assert not [key for key in store.client().get_model_version(NAME, "3").tags if key.startswith("decision")]
    failed = store.client().search_runs([store.connect().experiment])[0]
    assert failed.info.status == "FAILED"


class Failing:
    """The store's client, whose calls about one alias fail; so do, if `silent`, all questions about aliases then."""

    def __init__(self, alias: str, silent: bool = False) -> None:
        self.inner, self.alias, self.silent, self.failed = store.client(), alias, silent, False

    def __getattr__(self, name: str) -> Any:
        if name == "set_registered_model_alias":
            return self.point
        if name == "get_registered_model" and self.failed and self.silent:
            raise MlflowException("no answer")
        return getattr(self.inner, name)

    def point(self, name: str, alias: str, version: str) -> None:
        if alias == self.alias:
            self.failed = True
            raise MlflowException("no answer")
        self.inner.set_registered_model_alias(name, alias, version)


@pytest.mark.parametrize("former", ["1", None])
def test_a_promotion_that_fails_between_its_aliases_leaves_both_as_they_were(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch, former: str | None
) -> None:
    for skill in (0.9, 0.95, 0.97):
        add(skill)
    if former:
        promote(params, former, "a test")
    promote(params, "2", "a test")
    before, files = aliases(), sorted(Path("models/registry").iterdir())
    with monkeypatch.context() as patch:
        client = Failing("champion")
        patch.setattr(store, "client", lambda: client)
        with pytest.raises(EchosynthError, match="no answer"):
            promote(params, "3", "a test")
        assert client.failed
    assert aliases() == before
    assert sorted(Path("models/registry").iterdir()) == files
    assert promote(params, "3", "a test").accepted


def test_a_rollback_that_fails_between_its_aliases_has_gone_back(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    for skill in (0.9, 0.95):
        add(skill)
        promote(params, why="a test")
    with monkeypatch.context() as patch:
        client = Failing("previous")
        patch.setattr(store, "client", lambda: client)
        with pytest.raises(EchosynthError, match="no answer"):
            rollback("it fails on clinic B")
    assert aliases()["champion"] == "1"
    assert decisions.history()["decisions"][-1]["why"] == "it fails on clinic B"


def test_a_decision_is_withdrawn_where_nobody_says_who_is_champion(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(0.9)
    with monkeypatch.context() as patch:
        client = Failing("champion", silent=True)
        patch.setattr(store, "client", lambda: client)
        with pytest.raises(EchosynthError, match="no answer"):
            promote(params, why="a test")
    assert not list(Path("models/registry").iterdir())
    assert not [key for key in store.client().get_model_version(NAME, "1").tags if key.startswith("decision")]


def test_where_there_is_no_registry_none_is_made(bare: Path) -> None:
    with pytest.raises(EchosynthError, match="there is no model registry"):
        unlock()
    assert not (bare / "mlflow.db").exists()


def test_a_claim_of_another_machine_is_named_and_can_be_removed(project: Path, params: Params) -> None:
    add(0.9)
    store.client().create_registered_model(CLAIM, {"by": "Bob on the moon, process 1, 2026-11-22", "token": "other"})
    refused(r"holds the registry \(Bob on the moon.* after `echosynth promote --unlock`", promoted(params))
    assert unlock() == "Bob on the moon, process 1, 2026-11-22"
    assert unlock() is None
    assert promote(params, why="a test").accepted


PROMOTER = """
import sys, time
from pathlib import Path
from echosynth.cli import main
from echosynth.config.parameters import load_params
from echosynth.registry.gates import Gate
from echosynth.registry import judging
here, number = Path(sys.argv[1]), sys.argv[2]

def judge(version, champion, params):
    (here / f"judging-{number}").touch()
    while not (here / "go").exists():
        time.sleep(0.02)
    return [Gate("all", "any", "any", True)], {}, []

judging.judge = judge
sys.exit(main(["promote", number, "--reason", "a test"]))
"""


class Two:
    """Promotions as processes, each of which waits in the middle until it is told to go on."""

    def __init__(self, python: Path, project: Path) -> None:
        self.python, self.project, self.store = python, project, f"sqlite:///{project / 'mlflow.db'}"
        root = Path(__file__).parents[2]
        shutil.copy(root / "params.yaml", project / "params.yaml")
        (project / "promoter.py").write_text(PROMOTER)

    def start(self, number: str, workspace: Path) -> "subprocess.Popen[str]":
        workspace.mkdir(exist_ok=True)
        environment = {**os.environ, "DVC_ROOT": str(workspace), "MLFLOW_TRACKING_URI": self.store}
        words = [str(self.python), "promoter.py", str(self.project), number]
        return subprocess.Popen(
            words, cwd=self.project, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def judging(self) -> list[str]:
        return [path.name.removeprefix("judging-") for path in self.project.glob("judging-*")]


def wait(*processes: "subprocess.Popen[str]", until: Callable[[], bool]) -> None:
    """Wait until something is true or all processes have ended."""
    deadline = time.monotonic() + 1800
    while not until() and any(process.poll() is None for process in processes):
        assert time.monotonic() < deadline, "neither within 1800 s"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["one workspace", "two workspaces"])
def test_two_promotions_at_once_cannot_both_win(project: Path, python: Path, where: str) -> None:
    for skill in (0.9, 0.95):
        add(skill)
    two = Two(python, project)
    folders = [project / "a", project / ("a" if where == "one workspace" else "b")]
    processes = [two.start(number, folder) for number, folder in zip("12", folders, strict=True)]
    # One of them waits in the middle for a sign that comes when the other has given up.
    wait(
        *processes,
        until=lambda: len(two.judging()) == 2 or any(process.poll() is not None for process in processes),
    )
    (project / "go").touch()
    printed = [process.communicate()[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1], printed
    winner = str(codes.index(0) + 1)
    assert two.judging() == [winner]
    assert aliases() == {"champion": winner}
    words = (
        "is running on this machine" if where == "one workspace" else "another promotion or rollback holds the regis"
    )
    assert words in printed[codes.index(1)]
    assert [model.name for model in store.client().search_registered_models()] == [NAME]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_promotion_changes_nothing_and_can_be_cleared(
    project: Path, python: Path, params: Params, how: int
) -> None:
    add(0.9)
    two = Two(python, project)
    process = two.start("1", project)
    wait(process, until=lambda: bool(two.judging()))
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0
    assert aliases() == {}
    if how == signal.SIGKILL:
        with pytest.raises(EchosynthError, match="promote --unlock"):
            promote(params, why="a test")
        assert unlock() is not None
    assert promote(params, why="a test").accepted


def test_a_decision_stands_where_the_claim_cannot_be_removed(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(0.9)

    def silent() -> None:
        raise EchosynthError("MLflow does not answer; try again")

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "_claim", silent)
        assert promote(params, why="a test").accepted
    words = "the claim on the registry stays: MLflow does not answer; `echosynth promote --unlock` removes it\n"
    assert capsys.readouterr().err == words
    assert aliases() == {"champion": "1"} and unlock() is not None


def test_the_claim_of_another_is_not_taken_away_at_the_end(project: Path) -> None:
    with promotion.alone():
        unlock()
        store.client().create_registered_model(CLAIM, {"by": "Bob", "token": "other"})
    assert unlock() == "Bob"
