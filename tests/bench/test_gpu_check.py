"""The check of a GPU as far as it goes without one: at toy size, without DVC and MLflow, against the clock."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pandas as pd
import pytest
from bench.gpu_parts import QUICK, Check, Sizes
from bench.machine import bf16_peak
from bench.phantoms import phantoms
from bench.results import Missing, Result
from bench.training import Timed, network_flops
from tests.diffusion.conftest import small_data, small_settings

from bench import gpu_check, gpu_run, training
from echosynth.common.resume import ResumeState
from echosynth.config.parameters import Params
from echosynth.config.presets import with_preset
from echosynth.diffusion.model import PixelSpace

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_whole_check_at_toy_size_without_dvc_and_mlflow(tmp_path: Path) -> None:
    broken = tmp_path / "installed/transformers"  # what diffusers would import where it finds it
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('another version of the hub is required')")
    (tmp_path / "installed/transformers-5.0.dist-info").mkdir()
    facts = "Metadata-Version: 2.1\nName: transformers\nVersion: 5.0\n"
    (tmp_path / "installed/transformers-5.0.dist-info/METADATA").write_text(facts)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(broken.parent), os.environ.get("PYTHONPATH", "")])}
    code = "import sys; sys.modules |= dict.fromkeys(('mlflow', 'dvc', 'SimpleITK')); "
    code += "from bench.gpu_check import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "--quick", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("*-gpu-quick.json")
    found = json.loads(file.read_text())
    on_gpu = found["machine"]["gpu"] != "none"
    assert "passed" in found["tests"] if on_gpu else "skipped" in found["tests"]
    assert found["seconds"].keys() == {name for name, _, _ in gpu_run.PARTS}
    rows = {(result["kind"], result["task"]): result for result in found["results"]}
    for kind, task in (
        ("rate", "training of preset gpu-small"),
        ("comparison", "sampling, default solver against all steps"),
        ("distances", "kernel on echo features"),
        ("distances", "Frechet on echo features"),
        ("rate", "classifier training"),
        ("rate", "classifier inference"),
        ("rate", "training of preset thesis"),
        ("rate", "evaluations of preset thesis"),
    ):
        assert rows[kind, task]["task"] in done.stdout
    if not on_gpu:
        assert "0.0004" in rows["missing", "share of the card's bf16 peak"]["reason"]  # TFLOP of a step, counted anyway
    assert not [row for (kind, _), row in rows.items() if kind == "missing" and "failed" in row["reason"]]
    curve = pd.read_csv(tmp_path / file.name.replace(".json", "-curve.csv"))
    assert curve["step"].iloc[-1] == found["training"]["steps"] > 2 * QUICK.trial
    assert curve[["loss", "validation_loss"]].iloc[-1].between(0, 10).all()
    samples = cv2.imread(str(tmp_path / file.name.replace(".json", "-samples.png")), cv2.IMREAD_GRAYSCALE)
    assert samples.shape == (4 * 113 - 1, 8 * 113 - 1)
    assert cv2.imread(str(tmp_path / file.name.replace(".json", "-curve.png"))) is not None


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(gpu_check, "find_spec", lambda name: None if name in ("diffusers", "pandera") else object())
    assert gpu_check.main([]) == 1
    assert capsys.readouterr().err.startswith("error: diffusers, pandera cannot be imported here: put what is missing")


def test_a_machine_without_a_gpu_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_run.torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 1
    assert capsys.readouterr().err == (
        "error: there is no CUDA GPU; --quick tries this script on the CPU, at toy size\n"
    )


@pytest.fixture
def check(params: Params, tmp_path: Path) -> Check:
    return Check(params, Sizes(), time.monotonic() + 100, tmp_path / "gpu")


def reason(results: list[Result]) -> str:
    (missing,) = results
    assert isinstance(missing, Missing)
    return missing.reason


def test_a_part_that_has_no_time_fails_or_takes_too_long_leaves_a_sentence(check: Check) -> None:
    def fail(check: Check) -> list[Result]:
        raise ValueError("no\n such  layer")

    def rest(check: Check) -> list[Result]:
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # a library that goes on after whatever happens
                continue

    assert reason(gpu_run.do(("late", 1000, fail), check)).startswith("no time: ")
    assert "failed" not in check.said
    assert reason(gpu_run.do(("broken", 1, fail), check)) == "it failed: ValueError: no such layer"
    assert check.said["failed"] == ["broken"]
    check.ends = time.monotonic() + 0.2
    assert "stopped" in reason(gpu_run.do(("endless", 0, rest), check))
    time.sleep(0.01)  # no alarm is left


def test_a_training_fits_as_many_steps_as_there_is_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    params, data = small_settings(), small_data()
    timed = Timed(params, data, data, 2, PixelSpace(), ResumeState("test", params.model_dump()))
    ticks = iter([100.0, 130.0, 131.0])  # 30 s until it runs, then 3 steps a second
    monkeypatch.setattr(training, "clock", lambda: next(ticks))
    timed.fit_steps(34.0, 3, 4)
    assert (timed.now.step, timed.params.steps, timed.params.log_every) == (6, 6 + 9, 3)
    trained = timed.run()
    assert [point["step"] for point in trained.curve] == [9, 12, 15]
    assert trained.curve[-1]["learning_rate"] < 0.1 * params.learning_rate  # the cosine ends with it


@pytest.mark.parametrize(("name", "gmac"), [("improved", 94.5), ("efficient", 53.4), ("gpu-small", 7.8)])
def test_arithmetic_is_that_of_the_table_in_the_guide(name: str, gmac: float) -> None:
    page = (ROOT / "docs/diffusion.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
    assert row.endswith(f"| {gmac} |")
    params = with_preset(name, ROOT / "params.yaml")
    forwards = network_flops(params.diffusion, 112, training=False)
    assert forwards / 2e9 == pytest.approx(gmac, rel=0.01)
    # Backwards a layer multiplies twice: by its weights, which the first one need not, and by its inputs.
    assert 2.9 < network_flops(params.diffusion, 112, training=True) / forwards <= 3


def test_peaks_are_known_by_the_name_of_the_card() -> None:
    names = ("NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA H200", "NVIDIA A100-SXM4-80GB", "none")
    assert [bf16_peak(name) for name in names] == [989, 756, 989, 312, None]


def test_phantoms_are_other_patients_in_each_set_and_as_frequent_as_in_the_study(params: Params) -> None:
    sources = params.data.train_sources
    first, second = phantoms(params.phantom, sources, 32, [30, 12], workers=1)
    assert (len(first.images), len(second.images)) == (30, 12)
    assert first.images.shape[1:] == (32, 32) and first.images.std() > 10
    assert not set(first.groups) & set(second.groups) and len(set(first.groups)) == 30
    counts = {view: count / 30 for view, count in first.by_view().items()}
    shares = {"A2C": 3_432, "A4C": 14_531, "PLAX": 18_225, "PSAX": 2_727}  # the study's table 3.2
    assert counts == pytest.approx({view: count / 38_915 for view, count in shares.items()}, abs=0.05)
    (again,) = phantoms(params.phantom, sources, 32, [30], workers=1)
    assert again.hash() == first.hash()
