"""`echosynth compare` in a toy copy of the project, with an experiment that DVC ran."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from tests.pipeline.toy import Experiment

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]


def rows(text: str) -> dict[str, list[str]]:
    """The rows of all tables by their first cell without marks of code."""
    lines = [
        [cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"
    ]
    return {cells[0]: cells[1:] for cells in lines}


def test_parameters_scores_data_and_pictures_of_an_experiment(
    finished: Path, run: Command, stronger: Experiment, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    run("echosynth", "compare", "HEAD", "--to", stronger.name, "--out", str(out))
    text = (out / "report.md").read_text()
    found = rows(text)
    assert found["sample.guidance"] == ["1.0", "2.0"]
    assert text.index("1 of ") < text.index("parameters differ")
    tip = run("git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{stronger.name}").stdout.strip()
    old, new = (json.loads(run("git", "show", f"{name}:reports/metrics.json").stdout) for name in ("HEAD", tip))
    name = "fid_echo.60"
    shown = [float(text) for text in found[name][:2]]
    assert shown == pytest.approx([side["fid_echo"]["60"] for side in (old, new)], rel=0.01)
    assert found[name][3] in ("higher, worse", "lower, better")
    assert "auprc.real_60" not in found  # does not depend on samples
    assert "| `data/synthetic/60`" in text and "| `data/split`" not in text
    assert "The code that stages depend on is the same." in text
    for side in ("old", "new"):
        sheet = cv2.imread(str(out / f"data-synthetic-60-{side}.png"), cv2.IMREAD_GRAYSCALE)
        assert sheet.std() > 10 and sheet.shape[0] >= 4 * 96
    drawn = [path.name for path in out.glob("*.png")]
    assert all(f"]({name})" in text for name in drawn) and "Not shown" not in text
    assert "Research software" in text.splitlines()[-1]


def test_the_working_tree_is_compared_on_stdout(finished: Path, run: Command, stronger: Experiment) -> None:
    text = run("echosynth", "compare", stronger.name).stdout
    assert "# What changes from experiment stronger to the working tree" in text
    assert rows(text)["sample.guidance"] == ["2.0", "1.0"]
    assert "![" not in text and "## Pictures" not in text


def test_without_the_cache_it_says_what_to_fetch(
    finished: Path, run: Command, stronger: Experiment, tmp_path: Path
) -> None:
    cache = finished / ".dvc/cache/files"
    cache.rename(tmp_path / "elsewhere")
    try:
        printed = run("echosynth", "compare", "HEAD", "--to", stronger.name, "--out", str(tmp_path / "page")).stdout
    finally:
        (tmp_path / "elsewhere").rename(cache)
    assert "data/synthetic/60 of experiment stronger is not in DVC's cache on this machine" in printed
    assert "dvc fetch --all-commits" in printed
    assert "sample.guidance" in (tmp_path / "page/report.md").read_text()


def test_a_revision_without_results_and_an_unknown_one_are_refused(finished: Path, run: Command) -> None:
    first = run("git", "rev-list", "--max-parents=0", "HEAD").stdout.strip()
    for revision, sentence in ((first, "holds no reports/metrics.json"), ("nonsense", "there is no revision")):
        done = run("echosynth", "compare", revision, check=False)
        assert done.returncode == 1
        assert done.stdout.startswith("error: ") and sentence in done.stdout and "Traceback" not in done.stdout
