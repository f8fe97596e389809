"""The study's own pipeline in a toy copy of the project: what trains little, and the page."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from tests.pipeline.test_explore import copied

from echosynth.common.files import read_json
from echosynth.config.presets import overlay

ROOT = Path(__file__).parents[2]
RUN = ("cine", "budgets", "fractions", "shift", "page")  # the others have the same shape, and tests of their own
TINY = {"rebalance_subsets": [60], "fractions": [0.5], "other_budget": {"steps": 1, "epochs": 1}}

pytestmark = pytest.mark.slow


def test_the_study_in_a_toy_project(finished: Path, environment: dict[str, str], tmp_path: Path) -> None:
    project = tmp_path / "toy"
    left_out = shutil.ignore_patterns("mlflow.db*", "mlartifacts")
    shutil.copytree(finished, project, symlinks=True, ignore=left_out, copy_function=copied)
    content = yaml.safe_load((ROOT / "study/dvc.yaml").read_text())
    content["stages"] = {name: content["stages"][name] for name in RUN}
    (project / "study").mkdir()
    (project / "study/dvc.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    environment = environment | {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}

    def dvc(*words: str) -> str:
        done = subprocess.run(
            ["dvc", *words], cwd=project, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def changed() -> set[str]:
        done = subprocess.run(["git", "status", "--short"], cwd=project, text=True, capture_output=True, check=True)
        return {line.split()[-1] for line in done.stdout.splitlines()}

    before = changed()
    assert "up to date" in dvc("status")  # nobody has asked for the study
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["study"] |= TINY | overlay("study", ROOT / "params.yaml")["study"]
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    assert "fractions@all-60" in dvc("status")
    dvc("repro", "study/dvc.yaml")
    page = (project / "reports/study.html").read_text()
    assert all(title in page for title in ("Table 5.4", "Figure 5.17", "Figure 5.21", "Figure 2.2", "The thesis:"))
    assert "equal epochs (1)" in page and "Whether they help is answered" in page
    cell = read_json(next((project / "reports/study/fractions/60").glob("plus-50-*/seed-*/metrics.json")))
    assert cell["facts"]["synthetic"] == cell["facts"]["real_images"] / 2
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("echosynth").experiment_id])
    named = {run.info.run_name: run.data.metrics for run in runs}
    assert "validation.macro_auprc" in named["study fractions plus-50 60 resnet18 seed 0"]
    assert any("study.fractions.60.plus-50.resnet18" in metrics for metrics in named.values())  # in the row
    times = (project / "reports/study_times.html").read_text()
    assert "budgets" in times and "Classifiers of tables 5.3 and 5.4" in times and "None was trained here" not in times
    assert changed() - before <= {"params.yaml", "dvc.lock", "study/"}
    assert "up to date" in dvc("status")
