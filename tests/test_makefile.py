"""What `make` does by itself, without the commands that it calls."""

import os
import re
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


def order(folder: Path, lists: str, dag: str, *words: str) -> list[str]:
    """The stages that `make stages` runs one after another where dvc says this of them."""
    shutil.copy(ROOT / "Makefile", folder)
    dvc = folder / ".venv/bin/dvc"
    dvc.parent.mkdir(parents=True, exist_ok=True)
    dvc.write_text(f'#!/bin/sh\n[ "$1" = dag ] && cat <<E || cat <<E\n{dag}\nE\n{lists}\nE\n')
    dvc.chmod(0o755)
    command = ["make", "--no-print-directory", "--dry-run", "stages", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert all(" 2>&1 | sed " in line and "dvc --wait-for-lock repro --single-item " in line for line in lines)
    return [line.split(" --single-item ")[1].split()[0] for line in lines]


def test_a_stage_runs_after_those_before_it(tmp_path: Path) -> None:
    edges = {"data/raw/dvc.yaml:phantom": "ingest@a", "ingest@a": "train@2-b", "far": "explore/dvc.yaml:page@all"}
    dag = "strict digraph {\n" + "".join(f'"{one}" -> "{two}";\n' for one, two in edges.items()) + '"alone";\n}'
    lists = "train@2-b\nalone\ningest@a"
    assert order(tmp_path, lists, dag) == ["data/raw/dvc.yaml:phantom", "ingest@a", "train@2-b", "alone"]
    page = order(tmp_path, "explore/dvc.yaml:page@all", dag, "PIPELINE=explore/dvc.yaml")
    assert page == ["far", "explore/dvc.yaml:page@all"]


def test_make_runs_every_stage_of_the_pipeline_once(tmp_path: Path) -> None:
    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    names, dag = dvc("stage", "list", "--name-only"), dvc("dag", "--dot")
    found = order(tmp_path, names.strip(), dag)
    assert sorted(found) == sorted([*names.split(), "data/raw/dvc.yaml:phantom"])
    edges = re.findall(r'"(.*)" -> "(.*)";', dag)
    assert len(edges) > len(found)
    assert all(found.index(one) < found.index(two) for one, two in edges)
