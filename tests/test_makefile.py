"""What `make` does by itself, without the commands that it calls."""

import os
import re
import shutil
import socket
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


def make_stages(folder: Path, lists: str, dag: str, *words: str, fails: str = "none") -> tuple[int, list[str], str]:
    """Run `make stages` where dvc says this of the stages: exit status, stages that dvc ran, and what was printed."""
    shutil.copy(ROOT / "Makefile", folder)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(sys.executable)
    dvc = folder / ".venv/bin/dvc"
    dvc.write_text(
        f"#!/bin/sh\ncase $1 in\ndag) cat <<E\n{dag}\nE\n;;\nstage) cat <<E\n{lists}\nE\n;;\n"
        f'*) echo "$4" >> ran; printf "\\nat work\\nUpdating lock file\\n"; [ "$4" != "{fails}" ] ;;\nesac\n'
    )
    dvc.chmod(0o755)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["make", "--no-print-directory", "stages", "JOBS=1", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, (folder / "ran").read_text().splitlines(), done.stdout


EDGES = [
    ("data/raw/dvc.yaml:phantom", "ingest@a"),
    ("ingest@a", "train@2-b"),
    ("ingest@a", "short"),
    ("train@2-b", "end"),
    ("short", "end"),
    ("train@2-b", "sample"),
    ("sample", "end"),
    ("far", "explore/dvc.yaml:page@all"),
]
DAG = "strict digraph {\n" + "\n".join(f'"{one}" -> "{two}";' for one, two in EDGES) + '\n"alone";\n"short";\n}'


def test_a_stage_runs_after_those_before_it_and_the_longest_way_first(tmp_path: Path) -> None:
    status, ran, printed = make_stages(tmp_path, "end\nalone\nshort\ntrain@2-b", DAG)
    assert status == 0
    way = ["data/raw/dvc.yaml:phantom", "ingest@a", "train@2-b", "sample", "end"]
    assert [stage for stage in ran if stage not in ("short", "alone")] == way
    assert len(ran) == len(way) + 2
    assert ran.index("train@2-b") < ran.index("short") < ran.index("end")
    assert printed == "at work\n" * len(ran)


def test_another_pipeline_runs_with_what_it_needs(tmp_path: Path) -> None:
    page = make_stages(tmp_path, "explore/dvc.yaml:page@all", DAG, "PIPELINE=explore/dvc.yaml")
    assert page[:2] == (0, ["far", "explore/dvc.yaml:page@all"])


def test_nothing_begins_after_a_stage_that_fails(tmp_path: Path) -> None:
    status, ran, printed = make_stages(tmp_path, "end", DAG, fails="ingest@a")
    assert status != 0
    assert ran == ["data/raw/dvc.yaml:phantom", "ingest@a"]
    assert printed == "at work\n" * 2


def test_make_runs_every_stage_of_the_pipeline_once(tmp_path: Path) -> None:
    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    names, dag = dvc("stage", "list", "--name-only"), dvc("dag", "--dot")
    status, ran, _ = make_stages(tmp_path, names.strip(), dag)
    assert status == 0
    assert sorted(ran) == sorted([*names.split(), "data/raw/dvc.yaml:phantom"])
    edges = re.findall(r'"(.*)" -> "(.*)";', dag)
    assert len(edges) > len(ran)
    assert all(ran.index(one) < ran.index(two) for one, two in edges)


def test_the_ui_does_not_point_at_somebody_else_s_server(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    for name in ("requirements.txt", "pyproject.toml", ".venv/.ready"):
        (tmp_path / name).touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = ["make", "--no-print-directory", "ui", f"PORT={port}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"error: another program listens on port {port}; name a free one: make ui PORT=5001" in done.stderr
    assert "All rows" not in done.stdout
