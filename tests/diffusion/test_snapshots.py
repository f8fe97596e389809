"""Snapshots: when they are taken, which one is best, what is left of them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from echosynth.diffusion.batches import Examples
from echosynth.diffusion.ema import EMA
from echosynth.diffusion.model import PixelSpace
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.snapshots import Snapshot, Snapshots, best, exhausted, snapshot_steps

Settings = Callable[..., DiffusionParams]


def test_steps_are_evenly_spaced_and_end_at_the_end(settings: Settings) -> None:
    assert snapshot_steps(settings(steps=1000, snapshots=4)) == [250, 500, 750, 1000]
    assert snapshot_steps(settings(steps=10, snapshots=3)) == [3, 7, 10]
    assert snapshot_steps(settings(steps=2, snapshots=8)) == [1, 2]


def test_the_smallest_distance_is_best_and_without_one_the_last_slow_average() -> None:
    scored = [Snapshot(5, 0.9, 7.0), Snapshot(5, 0.99, 3.0), Snapshot(10, 0.9, 4.0), Snapshot(10, 0.99, 5.0)]
    assert best(scored) == scored[1]
    assert best([Snapshot(s.step, s.ema_decay, None) for s in scored]) == Snapshot(10, 0.99, None)


@pytest.mark.parametrize(
    ("distances", "patience", "stop"),
    [([5, 4, 3], 2, False), ([3, 4], 2, False), ([3, 4, 5], 2, True), ([3, 4, 5], 0, False), ([3, 4, 2], 2, False)],
)
def test_it_gives_up_after_so_many_without_a_smaller_distance(
    distances: list[float], patience: int, stop: bool
) -> None:
    taken = [Snapshot(10 * n, decay, d + decay) for n, d in enumerate(distances, 1) for decay in (0.9, 0.99)]
    assert exhausted(taken, patience) is stop


def test_a_snapshot_leaves_weights_and_a_grid_and_asks_for_the_held_out_mixture(
    tmp_path: Path, settings: Settings, data: Examples
) -> None:
    params = settings(snapshot_images=6, ema_decays=[0.5, 0.9])
    torch.manual_seed(0)
    network = ViewDenoiser(params, 16, 2)
    averages = [EMA(network, decay) for decay in params.ema_decays]
    with torch.no_grad():
        averages[1].weights["unet.conv_out.weight"] += 1
    seen: list[np.ndarray] = []

    def score(images: np.ndarray) -> float:
        seen.append(images)
        return float(len(seen))

    snapshots = Snapshots(tmp_path / "s", params, 16, PixelSpace(), 2, data, data, score)
    before = torch.get_rng_state()
    taken = snapshots.take(4, averages, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)  # the training's own draws are not disturbed
    assert taken == [Snapshot(4, 0.5, 1.0), Snapshot(4, 0.9, 2.0)]
    assert [images.shape for images in seen] == [(6, 16, 16)] * 2
    assert not np.array_equal(*seen)
    weights = snapshots.weights(taken[1])
    assert all(torch.equal(weights[name], tensor) for name, tensor in averages[1].weights.items())
    grid = cv2.imread(str(tmp_path / "s" / taken[0].grid), cv2.IMREAD_GRAYSCALE)
    assert grid.shape == (4 * 16 + 3, 8 * 16 + 7)  # a row a view, eight pictures each
