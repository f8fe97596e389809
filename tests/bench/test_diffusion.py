"""The other ways that the diffusion engine is measured against do what they say, and turns are taken."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from bench.results import Comparison, Distances, Missing, Rate, as_json, table
from bench.sampling import compare_solvers, largest_model, measure_solvers
from bench.training import PlainTraining, Turns, noise_examples, without_tf32
from bench.training_memory import peak_of_training

from bench import sampling, training
from echosynth.common.errors import EchosynthError
from echosynth.common.files import workspace
from echosynth.config.parameters import Params
from echosynth.diffusion.model import DiffusionModel, PixelSpace, assembled
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams, SolverParams
from echosynth.diffusion.sampling import sample_batch
from echosynth.evaluation.frechet import frechet_distance, kernel_distance

ROOT = Path(__file__).parents[2]
SIDE = 16
TINY = {
    "channels": [8, 16], "attention": [4], "head_channels": 8, "batch_size": 4, "timesteps": 40, "precision": "fp32",
    "preconditioning": "none", "loss": "min-snr",
}  # fmt: skip


@pytest.fixture
def settings(params: Params) -> DiffusionParams:
    return params.diffusion.model_copy(update=TINY)


@pytest.fixture
def model(settings: DiffusionParams) -> DiffusionModel:
    torch.manual_seed(1)
    return assembled(ViewDenoiser(settings, SIDE, training.SOURCES).eval(), PixelSpace(), settings, SIDE)


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_the_plain_loop_learns_the_prediction_of_its_images(
    settings: DiffusionParams, prediction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PlainTraining(settings.model_copy(update={"prediction": prediction}), SIDE, "fp32")
    seen: dict[str, Any] = {}
    forward, loss = plain.network.forward, torch.nn.functional.mse_loss

    def watched(x: torch.Tensor, t: torch.Tensor, *condition: torch.Tensor) -> torch.Tensor:
        seen.update(x=x.double(), t=t, condition=condition)
        return forward(x, t, *condition)

    def kept(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen["target"] = target.double()
        return loss(output, target)

    monkeypatch.setattr(plain.network, "forward", watched)
    monkeypatch.setattr(training.F, "mse_loss", kept)
    before = [parameter.detach().clone() for parameter in plain.network.parameters()]
    plain.step()
    # Cosine schedule (Nichol & Dhariwal 2021, eq. 17): alpha_bar from the published formula, in float64.
    steps = np.arange(settings.timesteps + 1) / settings.timesteps
    f = np.cos((steps + 0.008) / 1.008 * np.pi / 2) ** 2
    bar = torch.from_numpy(np.cumprod(np.maximum(1 - np.minimum(1 - f[1:] / f[:-1], 0.999), 0)))[seen["t"]]
    alpha, sigma = bar.sqrt().view(-1, 1, 1, 1), (1 - bar).sqrt().view(-1, 1, 1, 1)
    recovered = {
        "epsilon": lambda: (seen["x"] - sigma * seen["target"]) / alpha,
        "x0": lambda: seen["target"],
        "v": lambda: alpha * seen["x"] - sigma * seen["target"],
    }[prediction]()
    clear = seen["t"] < settings.timesteps // 2  # later epsilon says little about x_0
    assert clear.any()
    distances = (recovered[:, None] - plain.images.double()[None]).abs().flatten(2).amax(2)
    found = distances.argmin(1)
    assert distances.min(1).values[clear].max() < 1e-4
    assert torch.equal(plain.views[found[clear]], seen["condition"][0][clear])
    assert any(not torch.equal(old, new) for old, new in zip(before, plain.network.parameters(), strict=True))


def test_the_plain_average_follows_the_weights(settings: DiffusionParams) -> None:
    plain = PlainTraining(settings, SIDE, "fp32", ema_decay=0.5)
    plain.step()  # the average begins with the weights after the first step
    first = plain.network.view_embedding.weight.detach().clone()
    plain.step()
    assert plain.average is not None
    expected = (first + plain.network.view_embedding.weight) / 2
    assert torch.allclose(plain.average.module.view_embedding.weight, expected, atol=1e-7)


def test_attention_without_sdpa_gives_the_same(settings: DiffusionParams) -> None:
    plain, fused = (PlainTraining(settings, SIDE, "fp32", sdpa=sdpa) for sdpa in (False, True))
    names = {type(m.processor).__name__ for m in plain.network.modules() if hasattr(m, "processor")}
    assert names == {"AttnProcessor"}
    rows = slice(0, 4)
    with torch.no_grad():
        one, two = (
            side.network(side.images[rows], torch.arange(4), side.views[rows], side.sources[rows])
            for side in (plain, fused)
        )
    assert torch.allclose(one, two, atol=1e-5)


def test_tf32_is_off_for_the_work_alone_also_when_it_fails() -> None:
    seen = []

    def work() -> None:
        seen.append(torch.backends.cudnn.allow_tf32)
        raise RuntimeError

    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(RuntimeError):
        without_tf32(work)()
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 is before


def test_turns_are_taken_block_by_block_and_nothing_is_saved(settings: DiffusionParams) -> None:
    turns, calls = Turns(settings, SIDE, block=2, rounds=3), []

    def other(name: str) -> Callable[[], None]:
        return lambda: calls.append((name, turns.now.step))

    laps = turns.measure(other("a"), other("b"))
    assert [len(lap) for lap in laps] == [3, 3, 3]
    assert calls == [(name, step) for step in (2, 4, 6, 8) for name in "aabb"]
    assert min(laps[0]) > 0
    assert turns.now.step == 8
    assert turns.now.snapshots == turns.now.curve == []
    assert not list(workspace().rglob("*.safetensors"))


@pytest.mark.slow
def test_a_larger_batch_takes_more_memory_and_checkpointing_less(
    params: Params, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    deep = {"channels": [32], "blocks": 6, "preconditioning": "none", "loss": "simple", "precision": "fp32"}

    def peak(batch_size: int, checkpointing: bool) -> float:
        changes = deep | {"batch_size": batch_size, "gradient_checkpointing": checkpointing}
        return peak_of_training(params.diffusion.model_copy(update=changes), 32)

    # What libraries and threads hold varies by tens of MiB; the activations of 72 images are 400, checkpointed 250.
    small, large, checkpointed = peak(1, False), peak(72, False), peak(72, True)
    assert small + 100 < large
    assert checkpointed + 50 < large


def test_a_training_that_fails_is_named(settings: DiffusionParams) -> None:
    with pytest.raises(EchosynthError, match=r"batches of 4: .*multiple of 4"):
        peak_of_training(settings, 6)


def quarters(images: np.ndarray) -> np.ndarray:
    """Mean grey of the quarters of pictures (N, 16, 16)."""
    return images.reshape(-1, 2, 8, 2, 8).mean((2, 4)).reshape(-1, 4).astype(np.float64)


def compared_ways(model: DiffusionModel, how: SolverParams, sizes: sampling.Sizes) -> list[Any]:
    real, other = noise_examples(48, SIDE), noise_examples(60, SIDE)
    return compare_solvers(model, real, other, quarters, how, "fp32", 3, sizes, "here")


def test_solvers_are_compared_by_time_and_by_distance(model: DiffusionModel) -> None:
    how, sizes = SolverParams.plain("ddim", 4), sampling.Sizes(45, 20, sets=3, slow_sets=2)
    *rates, times, distances, kernel = compared_ways(model, how, sizes)
    assert isinstance(times, Comparison) and isinstance(distances, Distances) and isinstance(kernel, Distances)
    assert all(isinstance(rate, Rate) for rate in rates)
    assert len(times.seconds) == 2 * 3 and len(times.other_seconds) == 2 * 2  # two batches of each set
    assert times.other == "ancestral with 40 evaluations"
    assert times.times == min(times.other_seconds) / min(times.seconds)
    assert [rate.per_second for rate in rates] == [20 / min(times.seconds), 20 / min(times.other_seconds)]
    assert distances.images == 40
    assert len(distances.ours) == len(set(distances.ours)) == 3
    error = stdev(distances.ours) * (1 / 3 + 1 / 2) ** 0.5
    assert distances.difference == pytest.approx((mean(distances.others) - mean(distances.ours)) / error)
    # The first set once more, from what is public.
    real = noise_examples(48, SIDE)
    rows = np.random.default_rng(3).permutation(48)[:40]
    images = sample_batch(model, real.views[rows], real.sources[rows], range(40), 3, how, "fp32")
    assert distances.ours[0] == pytest.approx(frechet_distance(quarters(images), quarters(real.images)))
    assert kernel.ours[0] == pytest.approx(kernel_distance(quarters(images), quarters(real.images)))


def test_one_solver_against_itself_is_at_one_distance(model: DiffusionModel) -> None:
    sizes = sampling.Sizes(20, 20, sets=2, slow_sets=1, evaluations=5)
    *_, distances, _ = compared_ways(model, SolverParams.plain("ancestral", 5), sizes)
    assert distances.others[0] == distances.ours[0]
    assert abs(distances.difference) < 3


def test_what_is_missing_for_the_solvers_is_said(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (missing,) = measure_solvers(params, sampling.QUICK)
    assert isinstance(missing, Missing)
    for name in ("a model in models/diffusion", "models/feature-network", "data/split/assignment.csv", "make demo"):
        assert name in missing.reason


def test_the_model_that_saw_most_images_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = {"90": {"A2C": {"a": 90}}, "all": {"A2C": {"a": 60}, "A4C": {"a": 30, "b": 10}}}
    for name in seen:
        (tmp_path / "models/diffusion" / name).mkdir(parents=True)
        (tmp_path / "models/diffusion" / name / "card.json").write_text("{}")
    monkeypatch.setattr(sampling, "read_card", lambda folder: SimpleNamespace(training_images=seen[folder.name]))
    assert largest_model() == Path("models/diffusion/all")


def test_results_are_rows_and_plain_values() -> None:
    results = [
        Distances("Frechet", (10.0, 12.0), (11.5,), 0.25, 3.0, 160, "there"),
        Missing("bf16", "there is no GPU"),
    ]
    text = table(results)
    assert "11 +- 1.4 (2 sets)" in text and "+0.25" in text
    assert "bf16          there is no GPU" in text
    assert as_json(results[0]) == {
        "kind": "distances", "task": "Frechet", "ours": [10.0, 12.0], "others": [11.5], "difference": 0.25,
        "floor": 3.0, "images": 160, "setting": "there",
    }  # fmt: skip


@pytest.mark.slow
def test_a_quick_run_measures_all_that_can_be_measured(tmp_path: Path, python: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "params", tmp_path / "params")
    command = [python, "-m", "bench.run", "diffusion", "--quick", "--name", "here", "--folder", "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "out/here-diffusion-quick.json").read_text())
    found = {(result["kind"], result["task"]) for result in run["results"]}
    expected = {
        ("rate", "diffusion training"),
        ("comparison", "diffusion training"),
        ("missing", "sampling, default solver against all steps"),
        ("comparison", "training step, efficient against improved"),
        ("comparison", "evaluation, efficient against improved"),
        ("memory", "diffusion training"),
    }
    gpu = "bf16, compile, SDPA, channels_last against plain fp32"
    on_gpu = run["machine"]["gpu"] != "none"
    gains = run["machine"]["auto_precision"] == "bf16"
    assert found - {("rate", "diffusion training, all that the GPU offers")} == expected | {
        ("comparison" if on_gpu else "missing", gpu),
        ("comparison" if gains else "missing", "training step, bf16 against fp32"),
    }
    others = [
        result["other"] for result in run["results"] if result["task"] == "diffusion training" and "other" in result
    ]
    assert others[:2] == ["plain loop", "plain loop with one average"]
    for result in run["results"]:
        assert result["task"] in done.stdout
        if result["kind"] == "memory":
            assert result["mib"] > 100 or on_gpu
