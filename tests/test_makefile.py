"""What `make` does by itself, without the commands that it calls."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_clean_leaves_data_results_and_runs_that_wait_for_a_server(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    kept = {"mlflow.db", ".dvc/cache/files/one", ".resume/offline/ab/mlflow.db", "data/raw/one"}
    gone = {
        ".venv/bin/python",
        ".resume/diffusion-ab/state.safetensors",
        ".resume/diffusion-ab.lock",
        ".cache/images/one",
    }
    for name in kept | gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == kept | {"Makefile"}
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True)
    shutil.rmtree(tmp_path / ".resume")
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True)


def test_a_gpu_is_tried_with_the_packages_of_a_folder(tmp_path: Path) -> None:
    """By a Python that tells what it is asked for: nothing is installed, and nothing but the checkout is there."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$* | $PYTHONPATH"\n')
    python.chmod(0o755)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/one-1.0-py3-none-any.whl").touch()

    def said(*words: str) -> list[str]:
        command = ["make", "--no-print-directory", "gpu-check", f"PYTHON={python}", *words]
        environment = os.environ | {"PYTHONPATH": "mine"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    install, check = said("WHEELS=wheels", "ARGS=--minutes 5")
    assert install.startswith("-m pip install --quiet") and "--no-index" in install
    site = install.split("--target ")[1].split()[0]
    assert install.split(" | ")[0].endswith(f"{site} wheels/one-1.0-py3-none-any.whl")
    assert check == f"-m bench.gpu_check --minutes 5 | src:{site}:mine"
    assert not Path(site).exists()
    (alone,) = said()
    assert alone.startswith("-m bench.gpu_check | src:")
    assert not (tmp_path / ".venv").exists()


def rows(folder: Path, stages: list[str], target: str = "rows") -> list[list[str]]:
    """What the demo (or the target `cells`: the explorations) runs side by side where these are the stages."""
    shutil.copy(ROOT / "Makefile", folder)
    dvc = folder / ".venv/bin/dvc"
    dvc.parent.mkdir(parents=True)
    dvc.write_text("#!/bin/sh\n" + "".join(f"echo {stage}\n" for stage in stages))
    dvc.chmod(0o755)
    command = ["make", "--no-print-directory", "--dry-run", target]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.count(" | cat\n") == len(done.stdout.splitlines())
    return [line.split(" --single-item ")[1].split(" 2>")[0].split() for line in done.stdout.splitlines()]


def test_the_demo_s_rows_of_stages_hold_those_of_one_subset_in_order(tmp_path: Path) -> None:
    generated = ["diffusion@{}", "sample@{}", "baseline@{}", "fidelity@{}", "classify-synthetic@{}-vgg16"]
    generated += ["classify-baseline@gaussian-{}-vgg16", "classify-baseline@mixed-mixup-{}-vgg16"]
    real, sizes = ["classify-real@{}-resnet18", "classify-real@{}-vgg16"], ["10", "100"]
    stages = [stage.format(size) for stage in generated + real for size in sizes]
    found = rows(tmp_path, ["split", *stages, "feature-network", "known-pictures", "compare"])
    expected = [["known-pictures"]] + [
        [stage.format(size) for stage in row] for row in (generated, real) for size in sizes
    ]
    assert found == [*expected[1:], expected[0]]  # the longest first


def test_every_stage_between_the_feature_network_and_the_comparison_is_in_one_row(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    stages = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    before, after = ("screen@", "ingest@", "split", "feature-network"), {"compare", "final", "card", "report"}
    between = [stage for stage in stages if not stage.startswith(before) and stage not in after]
    assert sorted(stage for row in rows(tmp_path, stages) for stage in row) == sorted(between)


def test_explorations_that_train_a_model_are_rows_of_their_own(tmp_path: Path) -> None:
    stages = [f"explore/dvc.yaml:{name}@all-{name}" for name in ("method", "variance", "recipe", "curve", "page")]
    assert rows(tmp_path, stages, "cells") == [[stage] for stage in stages[:3]]
