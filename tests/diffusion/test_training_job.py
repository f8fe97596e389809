"""From labelled images to a model's folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from echosynth.common import progress
from echosynth.common.errors import EchosynthError
from echosynth.compute.device import to_tensor
from echosynth.diffusion.model import load, read_card
from echosynth.diffusion.optimisation import CurvePoint
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.diffusion.train import Watchers
from echosynth.diffusion.training_job import AUTOENCODER_CURVE, prepare_training, train_model, write_model
from echosynth.imagesets.dataset import LabelledImages

Settings = Callable[..., DiffusionParams]


def labelled(views: list[int], sources: list[str], seed: int = 0) -> LabelledImages:
    count = len(views)
    images = np.random.default_rng(seed).integers(0, 255, (count, 16, 16), dtype=np.uint8)
    names = np.array([str(n) for n in range(count)])
    return LabelledImages(images, np.array(views), names, np.array(sources), names)


REAL = labelled([0, 1, 1, 2, 2, 2], ["b", "b", "a", "a", "a", "b"])
HELD_OUT = labelled([0, 1, 2, 3, 2], ["b", "a", "c", "a", "a"], seed=1)


def test_a_job_knows_its_counts_and_leaves_out_what_the_model_cannot_know(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    task = prepare_training(settings(), REAL, HELD_OUT)
    assert task.sources == ("a", "b")
    assert task.counts == {"A2C": {"b": 1}, "A4C": {"a": 1, "b": 1}, "PLAX": {"a": 2, "b": 1}}
    assert task.held_out.views.tolist() == [0, 1, 2]  # source c and view PSAX are unknown to it
    assert "A2C has a single training image" in capsys.readouterr().err
    with pytest.raises(EchosynthError, match="validation set holds no image"):
        prepare_training(settings(), REAL, labelled([3], ["a"]))


def test_states_of_other_work_never_meet(settings: Settings) -> None:
    first = prepare_training(settings(), REAL, HELD_OUT, "scorer").state.folder
    other = labelled([0, 1, 1, 2, 2, 2], ["b", "b", "a", "a", "a", "b"], seed=3)
    for task in (
        prepare_training(settings(learning_rate=0.5), REAL, HELD_OUT, "scorer"),
        prepare_training(settings(), other, HELD_OUT, "scorer"),
        prepare_training(settings(), replace(REAL, sources=REAL.sources[::-1]), HELD_OUT, "scorer"),
        prepare_training(settings(), REAL, HELD_OUT.rows(np.arange(3)), "scorer"),
        prepare_training(settings(), REAL, HELD_OUT, "another"),
    ):
        assert task.state.folder != first
    assert prepare_training(settings(), REAL, HELD_OUT, "scorer").state.folder == first


@pytest.mark.parametrize("space", ["pixel", "latent"])
def test_a_model_is_written_whole_and_read_back(tmp_path: Path, settings: Settings, space: str) -> None:
    latent = {"space": "latent", "unshuffle": 1} if space == "latent" else {}
    params = settings(snapshot_images=4, keep_snapshots=True, **latent)
    distances = iter([5.0, 4.0, 3.0, 6.0])
    task = prepare_training(params, REAL, HELD_OUT, "scorer")
    points: list[CurvePoint] = []
    model = train_model(task, Watchers(score=lambda images: next(distances), on_autoencoder=points.append))
    (tmp_path / "model").mkdir()
    metrics = write_model(tmp_path / "model", task, model)
    assert (metrics["step"], metrics["ema_decay"], metrics["kernel"]) == (8, 0.97, 3.0)
    assert ("reconstruction_psnr" in metrics) == (space == "latent")
    card = read_card(tmp_path / "model")
    assert (card.step, card.kernel, card.training_images) == (8, 3.0, task.counts)
    stored = load(tmp_path / "model", torch.device("cpu"))
    assert all(torch.equal(stored.network.state_dict()[name], tensor) for name, tensor in model.trained.weights.items())
    load(tmp_path / "model", torch.device("cpu"), "snapshots/step-0000004.safetensors")
    table = pd.read_csv(tmp_path / "model" / "snapshots.csv")
    assert table["kernel"].tolist() == [5.0, 4.0, 3.0, 6.0]
    if space == "latent":
        curve = pd.read_csv(tmp_path / "model" / AUTOENCODER_CURVE)
        assert curve["step"].tolist() == [point["step"] for point in points] and len(points) > 1
        assert curve["autoencoder_error"].tolist() == pytest.approx([point["error"] for point in points])
    else:
        assert not points
    assert sorted(path.name for path in (tmp_path / "model" / "snapshots").glob("*.png")) == [
        "step-0000004.png",
        "step-0000008.png",
    ]
    again = train_model(
        prepare_training(params, REAL, HELD_OUT, "scorer"), Watchers(score=lambda images: 9.0)
    )  # found again, nothing redone
    assert again.trained.chosen == model.trained.chosen


def test_statistics_of_the_pixels_lie_in_the_model_s_folder_and_are_taken_up_again(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that goes on takes the statistics that it began with: computed anew they might round differently."""
    params = settings(preconditioning="gaussian", loss="edm", gaussian_directions=3)
    task = prepare_training(params, REAL, HELD_OUT)
    model = train_model(task)
    assert np.isfinite(model.quality["bits_per_dimension"])
    (tmp_path / "model").mkdir()
    write_model(tmp_path / "model", task, model)
    stored = load(tmp_path / "model", torch.device("cpu")).process.gaussian
    assert stored is not None
    views, sources = torch.from_numpy(REAL.labels), torch.tensor([1, 1, 0, 0, 0, 1])
    own = PixelGaussian.fit(to_tensor(REAL.images), views, sources, 2, 3)
    assert torch.equal(stored.mean, own.mean)
    assert torch.equal(stored.rows, own.rows)
    monkeypatch.setattr(PixelGaussian, "fit", None)
    again = train_model(prepare_training(params, REAL, HELD_OUT))
    assert all(torch.equal(again.trained.weights[name], tensor) for name, tensor in model.trained.weights.items())


def test_what_a_network_adds_to_the_gaussian_is_measured(settings: Settings) -> None:
    changes: dict[str, Any] = {
        "preconditioning": "gaussian",
        "loss": "edm",
        "augment": 0,
        "gaussian_directions": 3,
        "snapshots": 1,
    }
    asleep = train_model(prepare_training(settings(**changes, learning_rate=1e-12), REAL, HELD_OUT))
    awake = train_model(
        prepare_training(settings(**changes, ema_decays=[0.9], steps=100, learning_rate=0.003), REAL, HELD_OUT)
    )
    assert asleep.quality["loss_to_gaussian"] == pytest.approx(1, abs=1e-6)
    assert awake.quality["loss_to_gaussian"] < 0.97
    assert "loss_to_gaussian" not in train_model(prepare_training(settings(snapshots=1), REAL, HELD_OUT)).quality


def test_progress_names_the_training(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    train_model(prepare_training(settings(snapshots=1), REAL, HELD_OUT, name="diffusion 12"))
    assert "diffusion 12 training: 1 of 8 steps" in capsys.readouterr().err


def test_without_sources_the_statistics_are_those_of_views(settings: Settings) -> None:
    params = settings(preconditioning="gaussian", loss="edm", source_conditioning=False, steps=2, snapshots=1)
    gaussian = train_model(prepare_training(params, REAL, HELD_OUT)).space.gaussian
    assert gaussian is not None
    assert gaussian.rows.shape == (5, 1)
    assert gaussian.rows.unique().numel() == 4  # three views, and all of them
