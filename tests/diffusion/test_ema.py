"""The moving average against its closed form."""

import pytest
import torch
from torch import nn

from echosynth.diffusion.ema import EMA


def test_average_follows_the_recursion_with_warm_up() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 5.0)
    ema, expected = EMA(network, 0.6), 5.0
    for n in range(12):
        nn.init.constant_(network.weight, float(n))
        ema.update(network)
        decay = min(0.6, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    assert ema.weights["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_initial_weights_are_soon_forgotten() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    ema = EMA(network, 0.9999)
    nn.init.constant_(network.weight, 0.0)
    for _ in range(1000):
        ema.update(network)
    assert ema.weights["weight"].item() < 1e-6


def test_without_warm_up_they_are_not() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    ema = EMA(network, 0.999, warmup=False)
    nn.init.constant_(network.weight, 0.0)
    for _ in range(1000):
        ema.update(network)
    assert ema.weights["weight"].item() == pytest.approx(0.999**1000, rel=1e-3)  # 37 %


def test_average_does_not_share_memory_with_the_network() -> None:
    network = nn.Linear(2, 2)
    ema = EMA(network, 0.9)
    before = ema.weights["weight"].clone()
    with torch.no_grad():
        network.weight += 1
    assert torch.equal(ema.weights["weight"], before)
