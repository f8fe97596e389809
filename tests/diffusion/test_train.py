"""Training: it learns, it resumes with the same bits, it stops with a sentence."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from echosynth.config import DiffusionParams, load_params
from echosynth.diffusion.train import Trained, learning_rate, train, training_state
from echosynth.errors import EchosynthError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def settings(**changes: object) -> DiffusionParams:
    small = {
        "channels": [16, 32],
        "attention_levels": [1],
        "batch_size": 8,
        "log_every": 2,
        "warmup_steps": 2,
        "precision": "fp32",
    }
    return load_params(ROOT / "params.yaml").diffusion.model_copy(update=small | changes)


def data() -> tuple[np.ndarray, torch.Tensor]:
    images = np.random.default_rng(0).integers(0, 255, (20, 16, 16), dtype=np.uint8)
    return images, torch.arange(20) % 4


def run(params: DiffusionParams, on_point=lambda point: None) -> Trained:  # type: ignore[no-untyped-def]
    images, labels = data()
    return train(params, images, labels, images[:4], labels[:4], training_state(params, "hash"), on_point)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    params = settings(steps=100, warmup_steps=10, learning_rate=1.0)
    assert learning_rate(params, 0) == pytest.approx(0.1)
    assert learning_rate(params, 10) == pytest.approx(1.0)
    assert learning_rate(params, 55) == pytest.approx(0.5)
    assert learning_rate(params, 99) < 0.01


def test_interrupted_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    params = settings(steps=8, checkpoint_every=3)
    whole = run(params)
    training_state(params, "hash").clear()

    def stop(point: dict[str, float]) -> None:
        if point["step"] == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(params, stop)
    assert training_state(params, "hash").load() is not None
    seen: list[float] = []
    resumed = run(params, lambda point: seen.append(point["step"]))
    assert seen == [4, 6, 8]  # it went on after step 3, not from the start
    assert resumed.curve == whole.curve
    assert all(torch.equal(resumed.weights[name], tensor) for name, tensor in whole.weights.items())


@pytest.mark.slow
def test_killed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_train import run, settings\n"
        "stop = lambda p: os.kill(os.getpid(), signal.SIGKILL) if p['step'] == 6 else None\n"
        "run(settings(steps=8, checkpoint_every=3), stop)\n"
    )
    environment = os.environ | {"DVC_ROOT": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script, str(Path(__file__).parent)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    params = settings(steps=8, checkpoint_every=3)
    resumed = run(params)
    training_state(params, "hash").clear()
    whole = run(params)
    assert all(torch.equal(resumed.weights[name], tensor) for name, tensor in whole.weights.items())


def test_other_parameters_never_meet_an_old_state() -> None:
    assert training_state(settings(), "a").folder != training_state(settings(learning_rate=0.5), "a").folder
    assert training_state(settings(), "a").folder != training_state(settings(), "b").folder


@pytest.mark.slow
def test_it_learns_one_image_of_each_view() -> None:
    """Four flat pictures, one grey level for each view: the trained model draws the level that it is asked for."""
    from echosynth.diffusion.network import build
    from echosynth.diffusion.process import Process
    from echosynth.diffusion.sample import sample_views

    params = settings(
        steps=250, learning_rate=2e-3, augment=0.0, dropout=0.0, label_dropout=0.0, ema_decay=0.95, batch_size=16
    )
    levels = np.array([20, 90, 160, 230], np.uint8)
    images = np.broadcast_to(levels[:, None, None], (4, 16, 16)).copy()
    trained = train(params, images, torch.arange(4), images, torch.arange(4), training_state(params, "levels"))
    network = build(params, 16)
    network.load_state_dict(trained.weights)
    process = Process(params.schedule, params.timesteps, params.prediction)
    drawn = np.stack(list(sample_views(network.eval(), process, range(8), 16, 1, 20, 1.0, 8, "fp32")))
    assert np.abs(drawn.mean((1, 2)) - np.tile(levels, 2)).max() < 25  # levels lie 70 apart


def test_a_loss_that_is_not_finite_stops_with_the_parameter_named() -> None:
    with pytest.raises(EchosynthError, match=r"step \d+: lower diffusion\.learning_rate"):
        run(settings(steps=4, learning_rate=float("inf"), warmup_steps=0))
