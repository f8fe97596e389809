"""How stages end."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.stages import stage

ROOT = Path(__file__).parents[2]
Told = list[tuple[BaseException, str, bool]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def runs(project: Path, condition: str) -> list[Run]:
    """Runs in the project's store, the oldest first."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("echosynth").experiment_id
    return list(client.search_runs([experiment], condition, order_by=["attributes.start_time ASC"]))


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the row of the execution is told: error, stage, and whether the sentence is private."""
    heard: Told = []

    def fail_parent(error: BaseException, stage: str, *, private: bool = False) -> None:
        heard.append((error, stage, private))
        raise OSError("and this must not hide the first one")

    monkeypatch.setattr("echosynth.tracking.runs.fail_parent", fail_parent)
    return heard


def test_words_of_the_command_line_reach_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage", "real", "150"])
    seen = []
    stage(lambda params, *words: seen.append((isinstance(params, Params), *words)))()
    assert seen == [(True, "real", "150")]


def test_a_known_error_is_one_sentence_and_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage"])

    def work(params: Params) -> None:
        raise EchosynthError("the file x is missing")

    with pytest.raises(SystemExit, match=r"^error: the file x is missing$"):
        stage(work)()


def test_wrong_parameters_stop_before_the_stage_and_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    text = (ROOT / "params.yaml").read_text().replace("min_snr_gamma: 5.0", "min_snr_gamma: -1")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    ran = []
    with pytest.raises(SystemExit, match=r"diffusion\.min_snr_gamma = -1 is not allowed"):
        stage(lambda params: ran.append(1))()
    assert not ran
    [(error, _, private)] = told
    assert "diffusion.min_snr_gamma = -1 is not allowed" in str(error)
    assert not private


@pytest.mark.parametrize("error", [EchosynthError("the file x is missing"), KeyboardInterrupt()])
def test_a_failure_is_told_to_the_row_of_the_execution(
    monkeypatch: pytest.MonkeyPatch, told: Told, error: BaseException
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage"])

    def work(params: Params) -> None:
        raise error

    with pytest.raises(SystemExit if isinstance(error, EchosynthError) else KeyboardInterrupt):
        stage(work)()
    assert told == [(error, "test_stage", False)]


@pytest.mark.parametrize("name", ["phantom", "screen", "ingest", "card"])
def test_stages_of_raw_files_keep_their_sentences_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, told: Told, name: str
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage", "unity"])

    def work(params: Params, source: str) -> None:
        raise EchosynthError("Jane Doe.dcm is torn")

    work.__module__ = f"echosynth.stages.{name}"
    with pytest.raises(SystemExit, match=r"^error: Jane Doe.dcm is torn$"):
        stage(work)()
    [(_, stage_name, private)] = told
    assert (stage_name, private) == (name, True)


def test_a_stage_that_ends_by_a_status_tells_nothing(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["stage"])
    with pytest.raises(SystemExit):
        stage(lambda params: sys.exit(3))()
    assert not told


@pytest.mark.slow
def test_data_sets_of_runs_carry_the_hash_that_dvc_holds_for_them(finished: Path, run: Command) -> None:
    first = run("git", "log", "--format=%H", "--grep=^Results$").stdout.split()[-1]
    lock = yaml.safe_load(run("git", "show", f"{first}:dvc.lock").stdout)["stages"]
    hashes = {
        entry["path"]: entry["md5"] for stage in lock.values() for kind in ("deps", "outs") for entry in stage[kind]
    }
    parent = runs(finished, "tags.`echosynth.stage` = 'pipeline'")[0]
    seen = set()
    for child in runs(finished, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"):
        for item in child.inputs.dataset_inputs:
            path = json.loads(item.dataset.source)["uri"]
            assert item.dataset.digest == hashes[path], (child.info.run_name, path)
            seen.add(child.data.tags["echosynth.stage"])
    assert {"feature-network", "diffusion", "sample", "classify", "fidelity", "final"} <= seen


@pytest.mark.slow
def test_an_experiment_whose_parameters_are_refused_has_a_row_with_the_reason(finished: Path, run: Command) -> None:
    run("dvc", "exp", "run", "--temp", "-n", "refused", "-S", "sample.per_view=0", check=False)
    (row,) = runs(finished, "tags.`dvc.exp_name` = 'refused'")
    assert (row.info.run_name, row.info.status) == ("refused", "FAILED")
    assert "sample.per_view = 0 is not allowed" in row.data.tags["error"]
    assert row.data.params["sample.per_view"] == "0"
    assert row.data.tags["git.dirty"] == "false"
