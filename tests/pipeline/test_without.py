"""A study that has little of what is optional: no domain shift, one source, one subset, arms of real images alone, no
baseline, and a test set that shows one view."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow
LITTLE = {
    "data.train_sources": "[tmed2]",
    "data.shift_sources": "[]",
    "split.subsets": "[all]",
    "split.test": "0.05",
    "arms.synthetic": "[]",
    "arms.baseline": "[]",
    "baselines.generators": "[]",
}


def test_whatever_is_left_out_the_study_ends_with_its_report(
    finished: Path, run: Callable[..., CompletedProcess[str]]
) -> None:
    changes = [word for key, value in LITTLE.items() for word in ("-S", f"{key}={value}")]
    # Beside the workspace, where nothing lies in data/shift but what git holds.
    printed = run("dvc", "exp", "run", "--temp", "-n", "little", *changes).stdout
    assert "Running stage 'final'" in printed and "ingest-shift" not in printed
    assert "the test set has no image of A2C, A4C, PSAX, so that scores which need one will be absent" in printed
    assert "no test AUPRC: images of PLAX alone" in printed
    (commit,) = run("git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/little").stdout.split()
    scores = json.loads(run("git", "show", f"{commit}:reports/metrics.json").stdout)
    assert set(scores["test"]) == {"accuracy", "loss", "recall_PLAX"}
    assert "shift" not in scores and "kernel_echo_floor" not in scores
    assert set(scores["auprc"]) == {"real_all"} and set(scores["kernel_echo"]) == {"all"}
    reason = "images of PLAX alone"
    assert scores["absent"] == {"test.macro_auprc": reason, "test.macro_f1": reason}
    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("echosynth").experiment_id
    (row,) = client.search_runs([experiment], "tags.`dvc.exp_name` = 'little' and tags.`echosynth.stage` = 'pipeline'")
    assert row.info.status == "FINISHED" and row.data.tags["absent.test.macro_f1"] == reason
    assert "test.macro_f1" not in row.data.metrics and "test.recall_PLAX" in row.data.metrics
