"""The whole pipeline as its users call it: dvc and mlflow as processes in a toy copy of the project."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from tests.killing import kill
from tests.pipeline.commands import WAITING
from tests.pipeline.toy import Experiment

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]


def runs(project: Path) -> tuple[list[Run], list[Run]]:
    """Parents and children in the project's store, the oldest first."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("echosynth")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    children = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    return [run for run in found if "mlflow.parentRunId" not in run.data.tags], children


def test_every_part_of_the_study_is_there(finished: Path) -> None:
    assert "Do synthetic" in (finished / "reports/index.html").read_text()
    metrics = json.loads((finished / "reports/metrics.json").read_text())
    final = json.loads((finished / "reports/final/metrics.json").read_text())
    assert metrics["test"]["macro_auprc"] == pytest.approx(final["test"]["macro_auprc"])
    comparison = json.loads((finished / "reports/comparison/metrics.json").read_text())
    assert {cell["arm"] for cell in comparison["cells"]} == {"real", "synthetic", "gaussian"}
    for generator in ("diffusion", "gaussian", "mixup"):
        fidelity = json.loads((finished / f"reports/fidelity/60/{generator}/metrics.json").read_text())
        assert fidelity["echo"]["floor_frechet"] > 0 and fidelity["privacy"]["synthetic_images"] == 32
        assert "inception_weights names no file" in fidelity["inception_missing"]
        assert "imagenet_weights names no file" in fidelity["imagenet_missing"]
    assert metrics["fid_echo"]["60"] > metrics["fid_echo_floor"]["60"]
    assert {"60", "gaussian_60", "mixup_60"} == set(metrics["kernel_echo"])


def test_no_patient_is_in_two_splits(finished: Path) -> None:
    manifest = pd.concat([pd.read_csv(path) for path in (finished / "data/sources").glob("*/manifest.csv")])
    split = pd.read_csv(finished / "data/split/assignment.csv").merge(manifest[["id", "group"]], on="id")
    assert set(split["split"]) == {"train", "validation", "test"}
    assert split.groupby("group")["split"].nunique().max() == 1
    subset = set(pd.read_csv(finished / "data/split/subsets/60.csv")["id"])
    assert subset <= set(split.loc[split["split"] == "train", "id"])


def test_one_row_for_the_execution_and_a_child_for_each_curve(finished: Path) -> None:
    parents, children = runs(finished)
    parent = parents[0]
    assert parent.info.status == "FINISHED"
    assert parent.data.params["classifier.steps"] == "6"
    assert 0 <= parent.data.metrics["test.macro_auprc"] <= 1
    scores = {"test.macro_f1", "test.recall_PLAX", "shift.recall_A4C", "fid_echo.60", "auprc.synthetic_60"}
    assert scores <= set(parent.data.metrics)
    tags = {"echosynth.preset": "demo", "echosynth.run_type": "pipeline"}
    assert tags.items() <= parent.data.tags.items()
    assert {"echosynth.result", "git.dirty", "dvc.lock", "dvc.baseline_rev"} <= set(parent.data.tags)
    names = {run.info.run_name for run in children if run.data.tags["mlflow.parentRunId"] == parent.info.run_id}
    wanted = {"diffusion 60", "sample 60", "gaussian 60", "fidelity mixup 60", "resnet18 gaussian 60 seed 0"}
    wanted |= {"resnet18 real 60 seed 0", "resnet18 synthetic 60 seed 0", "final model"}
    assert wanted | {"feature network"} <= names
    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    by_name = {run.info.run_name: run for run in children}
    curve = client.get_metric_history(by_name["diffusion 60"].info.run_id, "loss")
    assert [point.step for point in curve] == [5, 10]
    classifier = by_name["resnet18 synthetic 60 seed 0"]
    for name in ("learning_rate", "images_per_second", "validation.macro_auprc"):
        assert [point.step for point in client.get_metric_history(classifier.info.run_id, name)] == [3, 6]
    assert "images_per_second" not in next(finished.glob("models/classifiers/*/*/seed-0/curve.csv")).read_text()
    for child in (classifier, by_name["diffusion 60"], by_name["sample 60"], by_name["feature network"]):
        assert child.data.metrics["system/system_memory_usage_percentage"] > 0
    pictures = {item.path for item in client.list_artifacts(classifier.info.run_id)}
    assert pictures == {"confusion.png", "precision_recall.png", "metrics.json"}
    assert "samples.png" in {item.path for item in client.list_artifacts(by_name["sample 60"].info.run_id)}
    inputs = {item.dataset.name for item in classifier.inputs.dataset_inputs}
    assert inputs == {"subset-60", "synthetic-60", "validation"}


def test_the_registered_model_is_the_final_one_and_predicts_the_same(finished: Path, run: Command) -> None:
    script = (
        "import json, numpy as np\n"
        "from echosynth.serving.view_classifier import ViewClassifier\n"
        "from echosynth.common.files import file_hash\n"
        "from echosynth.registry import versions\n"
        "from echosynth.serving import packaging\n"
        "frames = list(np.random.default_rng(1).integers(0, 256, (3, 70, 90), dtype=np.uint8))\n"
        "sha = file_hash('models/final/model.safetensors')\n"
        "(version,) = [one for one in versions.versions() if one.tags['model_sha'] == sha]\n"
        "served = packaging.predicted(f'models:/{version.name}/{version.version}', frames)\n"
        "local = ViewClassifier('models/final').probabilities(frames)\n"
        "words = {'tags': version.tags, 'description': version.description}\n"
        "print(json.dumps([served.tolist(), local.tolist(), words]))\n"
    )
    served, local, known = json.loads(run("python", "-c", script).stdout.strip().splitlines()[-1])
    assert np.allclose(served, local, atol=1e-6)
    report = json.loads((finished / "reports/final/metrics.json").read_text())
    assert known["tags"].items() >= {f"data.{name}": value for name, value in report["data"].items()}.items()
    assert float(known["tags"]["score.test.macro_f1"]) == pytest.approx(report["test"]["macro_f1"], abs=1e-5)
    assert float(known["tags"]["score.test.calibration_error"]) > 0
    assert "no medical device" in known["description"]


def test_a_second_call_has_nothing_to_do(finished: Path, run: Command) -> None:
    before = len(runs(finished)[0])
    assert "Data and pipelines are up to date." in run("dvc", "repro").stdout
    assert "up to date" in run("dvc", "status").stdout
    assert len(runs(finished)[0]) == before


def test_the_data_page_is_there_and_a_decision_reads_one_source_anew(finished: Path, run: Command) -> None:
    card = json.loads((finished / "reports/data_card.json").read_text())
    assert card["simulated"] and card["validation"]["echonet-lvh"]["on_phantoms"]["rule"]["outliers"] > 0
    assert "contact sheet" in (finished / "reports/data.html").read_text().lower()
    # A person drops one recording: this source is read anew and nothing else is validated or read.
    path = finished / "data/review/echonet-lvh.yaml"
    before = path.read_text()
    recordings = pd.read_csv(finished / "data/screening/echonet-lvh/recordings.csv")
    largest = recordings["group"].mode()[0]  # the grey ones
    recording = str(recordings.loc[(recordings["group"] == largest) & recordings["proposal"].isna(), "id"].iloc[0])
    try:
        path.write_text(yaml.safe_dump({"groups": {}, "recordings": {recording: "drop"}}))
        printed = run("dvc", "repro", "ingest", "screen").stdout
        assert [line for line in printed.splitlines() if line.startswith("Running")] == [
            "Running stage 'ingest@echonet-lvh':"
        ]
        report = json.loads((finished / "data/sources/echonet-lvh/report.json").read_text())
        assert report["validation"]["by_reason"]["dropped by decision"] == 1
    finally:
        path.write_text(before)
        run("dvc", "checkout", "-q")
        run("git", "checkout", "-q", ".")
        run("dvc", "checkout", "-q")


def test_an_experiment_runs_what_depends_on_it_and_adds_one_row(finished: Path, longer: Experiment) -> None:
    for stage in ("classify-real@60-resnet18", "compare", "final", "report"):
        assert f"Running stage '{stage}'" in longer.printed
    for stage in ("data/raw/dvc.yaml:phantom", "ingest", "split", "diffusion", "sample", "baseline", "feature-network"):
        assert f"Running stage '{stage}" not in longer.printed
    assert longer.rows_after == longer.rows_before + 1
    (row,) = (parent for parent in runs(finished)[0] if parent.data.tags.get("dvc.exp_name") == longer.name)
    assert row.data.params["classifier.steps"] == "8"
    assert row.info.status == "FINISHED"


def test_nothing_is_lost_in_a_temporary_experiment(finished: Path, stronger: Experiment) -> None:
    parents, children = runs(finished)
    assert stronger.rows_after == stronger.rows_before + 1
    (row,) = (parent for parent in parents if parent.data.tags.get("dvc.exp_name") == stronger.name)
    mine = [child for child in children if child.data.tags["mlflow.parentRunId"] == row.info.run_id]
    assert "sample 60" in {child.info.run_name for child in mine}
    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    assert all(Path(child.info.artifact_uri.removeprefix("file://")).is_relative_to(finished) for child in mine)
    assert {item.path for item in client.list_artifacts(row.info.run_id)} >= {"index.html", "metrics.json"}


def test_data_sets_of_runs_carry_the_hash_that_dvc_holds_for_them(finished: Path, run: Command) -> None:
    first = run("git", "log", "--format=%H", "--grep=^Results$").stdout.split()[-1]
    stages = yaml.safe_load(run("git", "show", f"{first}:dvc.lock").stdout)["stages"]
    hashes = {
        entry["path"]: entry["md5"] for stage in stages.values() for kind in ("deps", "outs") for entry in stage[kind]
    }
    parents, children = runs(finished)
    seen = set()
    for child in children:
        if child.data.tags["mlflow.parentRunId"] != parents[0].info.run_id:
            continue
        for item in child.inputs.dataset_inputs:
            path = json.loads(item.dataset.source)["uri"]
            assert item.dataset.digest == hashes[path], (child.info.run_name, path)
            seen.add(child.data.tags["echosynth.stage"])
    assert {"feature-network", "diffusion", "sample", "baseline", "classify", "fidelity", "final"} <= seen


def refused(run: Command, *changes: str) -> str:
    """What is printed over an experiment whose parameters are not allowed."""
    words = [word for change in changes for word in ("-S", change)]
    done = run("dvc", "exp", "run", "--temp", "-n", "refused", *words, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    return done.stdout


def test_wrong_parameters_stop_with_their_names_before_any_work_and_a_row_says_why(
    finished: Path, run: Command
) -> None:
    wrong = {
        "classifier.steps=abc": "classifier.steps = 'abc' is not allowed: input should be a valid integer",
        "sample.per_view=0": "sample.per_view = 0 is not allowed: input should be greater than or equal to 1",
        "diffusion.schedule=square": (
            "diffusion.schedule = 'square' is not allowed: input should be 'linear', 'scaled-linear', 'cosine', "
            "'sigmoid' or 'flow'"
        ),
        "fidelity.training.steps=0": "fidelity.training.steps = 0 is not allowed",
        "+classifier.stepz=3": "classifier.stepz is no parameter; allowed here: ",
    }
    printed = refused(run, *wrong)
    for sentence in wrong.values():
        assert sentence in printed
    (row,) = (parent for parent in runs(finished)[0] if parent.data.tags.get("dvc.exp_name") == "refused")
    assert (row.info.run_name, row.info.status) == ("refused", "FAILED")
    assert "sample.per_view = 0 is not allowed" in row.data.tags["error"]
    assert row.data.params["sample.per_view"] == "0"
    assert row.data.tags["git.dirty"] == "false"


def test_what_only_the_stage_can_see_stops_the_experiment_there(finished: Path, run: Command) -> None:
    assert "split.subsets asks for 100000 images" in refused(run, "split.subsets=[60,100000]")


def test_a_stage_killed_in_the_middle_ends_as_if_nothing_had_happened(
    finished: Path, run: Command, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    uninterrupted = (finished / "dvc.lock").read_bytes()
    command = ["dvc", "repro", "--force", "--single-item", "diffusion@60"]
    (tmp_path / "sitecustomize.py").write_text(WAITING)
    waiting = plain_environment | {"PYTHONPATH": f"{plain_environment['PYTHONPATH']}{os.pathsep}{tmp_path}"}
    process = subprocess.Popen(command, cwd=finished, env=waiting, start_new_session=True, stderr=subprocess.DEVNULL)
    states = finished / ".resume"
    while process.poll() is None and not list(states.glob("diffusion-*/state.safetensors")):
        time.sleep(0.02)
    assert process.poll() is None, "the training ended before it could be killed"
    main = psutil.Process(process.pid)
    kill([main, *main.children(recursive=True)])
    process.wait()
    assert not (finished / "models/diffusion/60").exists()
    run("python", "-c", "from echosynth.tracking.closing import close_dead; close_dead()")
    parents, children = runs(finished)
    assert [parents[-1].info.status, children[-1].info.status] == ["FAILED", "FAILED"]
    assert children[-1].data.tags["mlflow.parentRunId"] == parents[-1].info.run_id
    assert children[-1].data.tags["error"].startswith("its process was killed")
    assert "training goes on at step" in run(*command).stdout
    assert (finished / "dvc.lock").read_bytes() == uninterrupted  # the same bits
    assert not list(states.glob("diffusion-*/"))
    assert "up to date" in run("dvc", "status").stdout
    run("dvc", "repro", "--force", "--single-item", "report")
    killed, (parents, children) = parents[-1].info.run_id, runs(finished)
    assert parents[-1].info.run_id == killed
    mine = [child for child in children if child.data.tags["mlflow.parentRunId"] == killed]
    assert [child.info.run_name for child in mine] == ["diffusion 60"]
    assert {run.info.status for run in (parents[-1], *mine)} == {"FINISHED"}
