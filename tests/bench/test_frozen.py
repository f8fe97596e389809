"""Both ways to train a last layer on a frozen network give the same layer."""

from typing import Any

import torch
from bench.frozen import QUICK, measure, pass_all
from bench.measurements import SEED, noise_images, view_labels
from bench.results import Comparison, Duration, Missing
from torch import nn

from bench import frozen
from echosynth.classifier.frozen import frozen_features, train_head
from echosynth.classifier.network import build
from echosynth.compute.device import mixed_seed, to_tensor
from echosynth.config.parameters import Params


def test_both_ways_give_the_same_layer(params: Params) -> None:
    settings = params.classifier.model_copy(
        update={"steps": 6, "batch_size": 4, "weight_decay": 0.0, "decay_every": 0.99}
    )
    images, labels = noise_images(8, 32), view_labels(8)
    network: Any = build("resnet18", 32).eval()
    head: Any = train_head(settings, SEED, frozen_features(network, images), labels.numpy()).network
    torch.manual_seed(mixed_seed(SEED, 0))
    network.fc = nn.Linear(512, 4)
    pass_all(network, settings, to_tensor(images), labels)
    assert torch.allclose(network.fc.weight, head[1].weight, atol=1e-5)


def test_what_is_measured_and_why_it_is_not(params: Params, monkeypatch: Any) -> None:
    monkeypatch.setattr(frozen, "LIMIT", 7.0)
    small = params.model_copy(update={"study": params.study.model_copy(update={"pretrained_size": 0})})
    comparison, head = measure(small, QUICK)
    assert isinstance(comparison, Comparison) and "extrapolated from 1 of 2 epochs" in comparison.other
    assert comparison.target == 20 and "16 images at 32 pixels" in comparison.setting
    assert isinstance(head, Duration) and head.limit == 7 * 16 / 1000
    absent = params.model_copy(update={"study": params.study.model_copy(update={"pretrained": {"resnet18": "no.pth"}})})
    (missing,) = measure(absent, QUICK)
    assert isinstance(missing, Missing) and "no.pth is missing" in missing.reason
