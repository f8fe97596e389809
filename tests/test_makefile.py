"""What `make` does by itself, without the commands that it calls."""

import shutil
import subprocess
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
