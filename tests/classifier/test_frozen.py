"""Heads on frozen features against a plain loop through the whole network."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from echosynth.classifier.frozen import frozen_features, head_dropout, predict_head, train_head
from echosynth.classifier.network import build, predict
from echosynth.classifier.options import TrainingParams
from echosynth.classifier.recipes import batch_indices
from echosynth.classifier.train import CurvePoint
from echosynth.common.errors import EchosynthError
from echosynth.compute.device import mixed_seed, to_tensor


def settings(**changes: Any) -> TrainingParams:
    values: dict[str, Any] = {
        "budget": "steps", "steps": 12, "epochs": 3, "batch_size": 8, "learning_rate": 0.05, "momentum": 0.9,
        "weight_decay": 5e-4, "decay_every": 0.4, "decay_factor": 0.1, "augment": 0.5, "precision": "fp32",
    }  # fmt: skip
    return TrainingParams(**values | changes)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32), dtype=np.uint8)


def labels(count: int) -> np.ndarray:
    return np.arange(count) % 4


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return build("resnet18", 32).eval()


def test_a_head_is_what_training_the_last_layer_of_the_whole_network_gives(network: Any) -> None:
    """Every image goes through the frozen network at each step there."""
    params = settings()
    features = frozen_features(network, pictures(20), batch_size=8)
    assert features.shape == (20, 512) and features.dtype == np.float32
    trained = train_head(params, 3, features, labels(20))
    torch.manual_seed(mixed_seed(3, 0))
    network.fc = nn.Linear(512, 4)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("fc."))
    optimizer = torch.optim.SGD(network.fc.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 10], 0.1)  # 0.4 and 0.8 of 12 steps, rounded up
    for step in range(12):
        pick = batch_indices(20, 8, 3, step)
        optimizer.zero_grad()
        F.cross_entropy(network(to_tensor(pictures(20))[pick]), torch.from_numpy(labels(20))[pick]).backward()
        optimizer.step()
        schedule.step()
    head: Any = trained.network[1]  # type: ignore[index]
    assert torch.allclose(head.weight, network.fc.weight, atol=1e-5)
    assert trained.steps == 12
    probabilities = predict_head(trained.network, features)
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities, predict(network, pictures(20)), atol=1e-5)


def test_epochs_evaluations_and_seeds_are_those_of_other_classifiers() -> None:
    features = np.random.default_rng(0).normal(size=(20, 16)).astype(np.float32)
    points: list[CurvePoint] = []

    def note(head: nn.Module, point: CurvePoint) -> None:
        assert not head.training
        points.append(point)

    one = train_head(settings(budget="epochs"), 0, features, labels(20), 0.5, note, 3)
    assert [point.step for point in points] == [3, 6, 9]
    assert [round(point.learning_rate, 6) for point in points] == [0.05, 0.005, 0.0005]
    again = train_head(settings(budget="epochs"), 0, features, labels(20), 0.5)
    other = train_head(settings(budget="epochs"), 1, features, labels(20), 0.5)
    undropped = train_head(settings(budget="epochs"), 0, features, labels(20))
    found = [predict_head(trained.network, features) for trained in (one, again, other, undropped)]
    assert np.array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2]) and not np.allclose(found[0], found[3])


@pytest.mark.parametrize(
    ("architecture", "dropout"), [("vgg16", 0.5), ("inception_v3", 0.5), ("densenet121", 0.0), ("resnet18", 0.0)]
)
def test_the_dropout_before_the_last_layer_is_the_architectures(architecture: str, dropout: float) -> None:
    with torch.device("meta"):
        assert head_dropout(build(architecture, 112)) == dropout


def test_a_loss_that_is_not_finite_stops_with_the_parameter_named() -> None:
    features = np.full((8, 4), 1e30, np.float32)
    with pytest.raises(EchosynthError, match=r"loss is nan at step .*: lower classifier\.learning_rate"):
        train_head(settings(learning_rate=10.0), 0, features, labels(8))
