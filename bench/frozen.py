"""New last layers on frozen networks: features once, against every image through the network in every epoch.

The network is the first of `study.pretrained`, with the weights of its file, at the size of the study's stage. Pictures
are noise, as times do not depend on what is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from bench.measurements import SEED, noise_images, view_labels
from bench.results import Duration, Missing, Result, compare, timed
from echosynth.classifier.frozen import frozen_features, train_head
from echosynth.classifier.options import TrainingParams
from echosynth.classifier.pretrained import find_weights, grey_network, read_pretrained
from echosynth.classifier.recipes import batch_indices
from echosynth.classifier.train import total_steps
from echosynth.compute.device import Precision, pick_device, to_tensor
from echosynth.config.parameters import Params

TASK, HEAD = "a new last layer on a frozen network", "the last layer alone"
TARGET = 20
LIMIT = 1.0  # seconds for 1,000 images


@dataclass(frozen=True)
class Sizes:
    """How much work a measurement does.

    Attributes:
        repeats: of both ways, in turns; the best ones count, as others only waited for somebody else.
        images: that are trained on.
        epochs: of a training.
        timed: epochs of the other way that are timed, and multiplied.
    """

    repeats: int = 3
    images: int = 1000
    epochs: int = 25
    timed: int = 1


QUICK = Sizes(1, 16, 2)


def pass_all(network: nn.Module, settings: TrainingParams, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Train the last layer of a network whose other layers are frozen as PyTorch's tutorials do."""
    head = network.get_classifier()  # type: ignore[operator]
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for parameter in head.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.SGD(head.parameters(), settings.learning_rate, momentum=settings.momentum)
    for step in range(total_steps(settings, len(images))):
        pick = batch_indices(len(images), settings.batch_size, SEED, step)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(network(images[pick]), labels[pick]).backward()
        optimizer.step()


def measure(params: Params, sizes: Sizes) -> list[Result]:
    """Train such a layer in both ways, and once more on features that are there."""
    architecture, named = next(iter(params.study.pretrained.items()), ("", ""))
    file = find_weights(named) if named else None
    if file is None:
        return [Missing(TASK, f"study.pretrained: {named or 'no file'} is missing; put the file there")]
    network = grey_network(read_pretrained(architecture, file), SEED, params.study.pretrained_size or None)
    network.to(pick_device())
    settings = params.classifier.model_copy(update={"budget": "epochs", "epochs": sizes.epochs})
    shorter = settings.model_copy(update={"epochs": sizes.timed})
    images, labels = noise_images(sizes.images, params.ingest.size), view_labels(sizes.images)
    pixels, targets = to_tensor(images).to(pick_device()), labels.to(pick_device())
    features = frozen_features(network, images)

    def head() -> None:
        train_head(settings, SEED, features, labels.numpy())

    def ours() -> None:
        frozen_features(network, images)
        head()

    side = max(params.study.pretrained_size, params.ingest.size)
    setting = f"{architecture}, {sizes.images} images at {side} pixels, {sizes.epochs} epochs"
    other = f"every image through the network in every epoch, extrapolated from {sizes.timed} of {sizes.epochs} epochs"

    def theirs() -> float:
        return timed(lambda: pass_all(network, shorter, pixels, targets))() * sizes.epochs / sizes.timed

    return [
        compare(TASK, TARGET, timed(ours), theirs, other, setting, sizes.repeats),
        Duration(HEAD, LIMIT * sizes.images / 1000, tuple(timed(head)() for _ in range(sizes.repeats)), setting),
    ]


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], list[Result]]]:
    """All of them.

    Args:
        params: networks and sizes.
        quick: tiny sizes, to see that it works.
        auto: no matter here: all is computed in fp32.
    """
    return [partial(measure, params, QUICK if quick else Sizes())]
