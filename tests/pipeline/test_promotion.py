"""From a trained model to a champion and back, as a user does it in the toy project."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from tests.pipeline.toy import Experiment

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]
NAME = "echo-view-classifier"


def set_gates(project: Path, **changes: Any) -> None:
    """Other gates in params.yaml."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["promotion"] |= changes
    (project / "params.yaml").write_text(yaml.safe_dump(params))


class Registry:
    """What the store of the toy project holds."""

    def __init__(self, project: Path) -> None:
        self.client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")

    def aliases(self) -> dict[str, str]:
        return {alias: str(number) for alias, number in self.client.get_registered_model(NAME).aliases.items()}


def test_a_version_goes_through_the_gates_into_use_and_back(finished: Path, run: Command, longer: Experiment) -> None:
    registry = Registry(finished)
    for alias in registry.aliases():  # of other tests
        registry.client.delete_registered_model_alias(NAME, alias)
    again = run("echosynth", "register").stdout
    found = re.search(rf"was registered before as version (\d+) of {NAME}", again)
    assert found and registry.aliases() == {}
    first = found[1]

    # Six steps of training reach no floor: the demo's gates refuse it and say why.
    refused = run("echosynth", "promote", first, "--reason", "a trial", "--json", check=False)
    assert refused.returncode == 1
    decision = json.loads(refused.stdout[refused.stdout.index("{\n") : refused.stdout.rindex("}\n") + 1])
    assert "macro F1" in decision["failed"]
    passed = {gate["name"] for gate in decision["gates"] if gate["passed"]}
    assert {"patients in training and test", "registered scores", "macro F1 against the champion"} <= passed
    assert registry.aliases() == {}

    floors = {"min_macro_f1": 0.0, "min_recall": dict.fromkeys(("A2C", "A4C", "PLAX", "PSAX"), 0.0)}
    set_gates(finished, **floors, max_calibration_error=1.0, max_near_copies=1.0, bootstrap=200)
    try:
        assert "passes every gate; nothing was changed" in run("echosynth", "promote", first, "--dry-run").stdout
        assert registry.aliases() == {}
        printed = run("echosynth", "promote", first, "--reason", "the first").stdout
        assert f"version {first} is the champion now" in printed
        assert registry.aliases() == {"champion": first}

        # A second model, from an experiment, is another version.
        second = longer.newest
        assert second != first
        printed = run("echosynth", "compare-models", first, second, "--json").stdout  # warnings stand before it
        compared = json.loads(printed[printed.index("{\n") : printed.rindex("}\n") + 1])
        assert compared["versions"] == [first, second] and not compared["notes"]
        set_gates(finished, max_regression={"macro_auprc": 1.0, "macro_f1": 1.0})
        run("echosynth", "promote", second, "--reason", "newer")
        assert registry.aliases() == {"champion": second, "previous": first}
        run("echosynth", "rollback", "--reason", "it was a toy")
        assert registry.aliases() == {"champion": first, "previous": second}

        history = run("echosynth", "history").stdout
        rows = [line for line in history.splitlines() if line.startswith("20")]
        assert [row.split()[1] for row in rows] == ["promote", "promote", "promote", "rollback"]
        assert rows[-1].endswith("it was a toy")
        kept = run("git", "status", "--porcelain", "--untracked-files=all").stdout
        assert kept.count("models/registry/") == 4
    finally:
        run("git", "checkout", "-q", ".")


def test_the_audit_of_synthetic_images_is_there(finished: Path) -> None:
    privacy = json.loads((finished / "reports/fidelity/60/diffusion/metrics.json").read_text())["privacy"]
    assert privacy["training_images"] == 60 and privacy["synthetic_images"] == 32
    assert 0 <= privacy["near_copies"] <= 1
    # Expected is 0.01. The limit is the nearest of a few dozen held-out images by a network of six steps, which the
    # rounding of a CPU moves (0.204 was seen). A limit that is taken from the wrong images is passed by most.
    assert 0 <= privacy["held_out_near_copies"] < 0.5
    arms = {
        arm: finished / f"models/classifiers/{arm}-60-resnet18/{arm}/seed-0/metrics.json"
        for arm in ("real", "synthetic")
    }
    stored = {arm: json.loads(path.read_text()) for arm, path in arms.items()}
    assert stored["synthetic"]["synthetic_hash"] == privacy["synthetic_hash"]
    assert "synthetic_hash" not in stored["real"]


def test_scores_are_not_lost_when_no_server_answers(finished: Path, environment: dict[str, str]) -> None:
    report = finished / "reports/final/metrics.json"
    before = report.read_bytes()
    away = environment | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = subprocess.run(
        ["dvc", "repro", "--force", "--single-item", "final"],
        cwd=finished,
        env=away,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "the final model is not registered" in done.stderr
    assert "`echosynth register` does it later" in done.stderr
    assert report.read_bytes() == before
    shutil.rmtree(finished / ".resume" / "offline")  # the runs that wait for that server


def test_the_run_of_the_final_model_shows_its_errors_as_pictures(finished: Path) -> None:
    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("echosynth").experiment_id
    final = client.search_runs([experiment], "attributes.run_name = 'final model'", order_by=["start_time ASC"])[0]
    pictures = {item.path for item in client.list_artifacts(final.info.run_id)}
    assert {
        f"{kind}_{split}.png" for kind in ("confusion", "precision_recall") for split in ("test", "shift")
    } <= pictures
