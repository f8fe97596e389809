"""Training of a view classifier: SGD with a step schedule, as in the study."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from echosynth.classifier.network import build
from echosynth.classifier.options import TrainingParams
from echosynth.classifier.recipes import PLAIN, Batches, Recipe
from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress
from echosynth.compute.device import autocast, mixed_seed, pick_device, step_generator
from echosynth.imagesets.augment import augment
from echosynth.imagesets.dataset import LabelledImages


@dataclass(frozen=True)
class CurvePoint:
    """Where a training is.

    Attributes:
        step: optimisation steps done.
        loss: mean training loss since the last point.
        learning_rate: of the last step.
        images_per_second: since the last point, validation left out; kept out of tracked files.
    """

    step: int
    loss: float
    learning_rate: float
    images_per_second: float


@dataclass(frozen=True)
class TrainedClassifier:
    """What a training leaves behind.

    Attributes:
        network: in eval mode, on its device.
        steps: optimisation steps done.
        seconds: time of the training loop, validation left out; kept out of tracked files.
    """

    network: nn.Module
    steps: int
    seconds: float


def total_steps(params: TrainingParams, images: int) -> int:
    """Optimisation steps of a training on so many images; under budget `epochs` each epoch has as many steps as hold
    every image once, all of them of the full size (see `echosynth.classifier.recipes.batch_indices`)."""
    return params.steps if params.budget == "steps" else params.epochs * math.ceil(images / params.batch_size)


def train(
    params: TrainingParams,
    architecture: str,
    seed: int,
    data: LabelledImages,
    evaluate: Callable[[nn.Module, CurvePoint], None] = lambda network, point: None,
    evaluations: int = 1,
    name: str = "",
    recipe: Recipe = PLAIN,
    network: nn.Module | None = None,
) -> TrainedClassifier:
    """Train a classifier with cross-entropy, from scratch unless a network is given; its last state is kept, so that no
    validation score is a choice.

    Args:
        params: section `classifier` or `fidelity.training` of the parameters.
        architecture: name of the network.
        seed: of initial weights, order and augmentation.
        data: the training images.
        evaluate: called `evaluations` times on the way, the end included, with the network in eval mode.
        name: of the training, which its progress shows.
        recipe: what the batches hold, and how the loss weighs it.
        network: what is trained on, see `echosynth.classifier.pretrained.grey_network`; None: a new one.

    Raises:
        EchosynthError: the loss is not finite.
    """
    device = pick_device()
    torch.manual_seed(mixed_seed(seed, 0))
    network = (network or build(architecture, data.images.shape[-1])).to(device)
    batches = Batches(recipe, data, params.batch_size, seed)

    def loss(network: nn.Module, step: int) -> torch.Tensor:
        torch.manual_seed(mixed_seed(seed, 3, step))  # dropout
        x, targets = batches.draw(step)
        x = augment(x, params.augment, step_generator(seed, 2, step)).to(device)
        with autocast(device, params.precision):
            return batches.loss(network(x), targets.to(device))

    return fit(params, network, loss, len(data.images), evaluate, evaluations, name or f"{architecture} training")


def fit(
    params: TrainingParams,
    network: nn.Module,
    loss_of: Callable[[nn.Module, int], torch.Tensor],
    images: int,
    evaluate: Callable[[nn.Module, CurvePoint], None],
    evaluations: int,
    name: str,
) -> TrainedClassifier:
    """Run the steps of a training: SGD whose learning rate falls by a factor after equal shares of it.

    Args:
        params: section `classifier` or `fidelity.training` of the parameters.
        network: on its device; changed in place.
        loss_of: gives the loss of the network at a step, with a graph behind it.
        images: in the training set, of which `epochs` count.
        evaluate: called `evaluations` times on the way, the end included, with the network in eval mode.
        evaluations: see `evaluate`.
        name: of the training, which its progress shows.

    Raises:
        EchosynthError: the loss is not finite.
    """
    network.train()
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=params.learning_rate,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        fused=True,
    )
    steps = total_steps(params, images)
    stops = {round(steps * (i + 1) / evaluations) for i in range(evaluations)}
    seconds, before, losses = 0.0, 0.0, list[float]()
    for step in progress(range(steps), steps, name, "steps"):
        began = time.monotonic()
        loss = loss_of(network, step)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise EchosynthError(
                f"the classifier's loss is {losses[-1]} at step {step}: "
                f"lower classifier.learning_rate ({params.learning_rate})"
            )
        drops = int(step / steps / params.decay_every + 1e-9)
        for group in optimizer.param_groups:
            group["lr"] = params.learning_rate * params.decay_factor**drops
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds += time.monotonic() - began
        if step + 1 in stops:
            speed = len(losses) * params.batch_size / (seconds - before)
            rate = float(optimizer.param_groups[0]["lr"])
            evaluate(network.eval(), CurvePoint(step + 1, sum(losses) / len(losses), rate, speed))
            network.train()
            before, losses = seconds, []
    return TrainedClassifier(network.eval(), steps, seconds)
