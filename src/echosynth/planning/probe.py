"""How long a step takes on this machine, tried for some seconds each."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from echosynth.classifier.as_in_pytorch import cross_entropy
from echosynth.classifier.network import build
from echosynth.classifier.options import TrainingParams
from echosynth.common.views import VIEWS
from echosynth.compute.device import autocast, pick_device
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams, network_side

FEW = 2  # images of a small step; batch normalisation needs two


@dataclass(frozen=True)
class Speed:
    """What a probe found.

    Attributes:
        seconds: of one step: forwards and backwards with one batch, or one evaluation of one.
        memory: most bytes on the GPU; None without one.
        weights: bytes of the network's weights in float32.
    """

    seconds: float
    memory: int | None
    weights: int


def timed(step: Callable[[int], object], network: nn.Module, batch: int, budget: float) -> Speed:
    """Time a step: after a small one, as many as fit. Where none fits, it is reckoned from small ones, image by image.

    Args:
        step: does one with so many images.
        network: that it is of.
        batch: images of a step.
        budget: seconds.
    """
    cuda = pick_device().type == "cuda"
    began = time.monotonic()

    def once(images: int) -> float:
        start = time.monotonic()
        step(images)
        if cuda:
            torch.cuda.synchronize()
        return time.monotonic() - start

    once(FEW)  # to warm up
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    small, lasts = once(FEW), list[float]()
    reckoned = small * batch / FEW
    while reckoned < budget and (not lasts or time.monotonic() - began < budget):
        lasts.append(once(batch))
    weights = sum(tensor.numel() * 4 for tensor in network.state_dict().values())
    memory = torch.cuda.max_memory_allocated() if cuda else None
    return Speed(sorted(lasts)[len(lasts) // 2] if lasts else reckoned, memory, weights)


def diffusion(params: DiffusionParams, size: int, sources: int, budget: float, batch: int | None = None) -> Speed:
    """Time a training step of the diffusion model, or with `batch` an evaluation of so many images.

    Args:
        params: section `diffusion`.
        size: side of the images in pixels.
        sources: that it is told.
        budget: seconds.
        batch: images of an evaluation; None: a training step of `diffusion.batch_size`.
    """
    device, count = pick_device(), batch or params.batch_size
    network = ViewDenoiser(params, size, sources).to(device).train(batch is None)
    side = size if params.space == "pixel" else network_side(params, size)
    channels = 1 if params.space == "pixel" else params.autoencoder.latent_channels
    channels *= 2 if params.preconditioning == "gaussian" else 1

    def step(images: int) -> None:
        x = torch.randn(images, channels, side, side, device=device)
        zeros = torch.zeros(images, dtype=torch.long, device=device)
        with autocast(device, params.precision), torch.set_grad_enabled(batch is None):
            out = network(x, zeros, zeros, zeros)
        if batch is None:
            out.float().square().mean().backward()
            network.zero_grad(set_to_none=True)

    return timed(step, network, count, budget)


def classifier(params: TrainingParams, architecture: str, size: int, budget: float) -> Speed:
    """Time a training step of a classifier.

    Args:
        params: section `classifier` or `fidelity.training`.
        architecture: name of the network.
        size: side of the images in pixels.
        budget: seconds.
    """
    device = pick_device()
    network = build(architecture, size).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=params.momentum)

    def step(images: int) -> None:
        x = torch.randn(images, 1, size, size, device=device)
        labels = torch.arange(images, device=device) % len(VIEWS)
        with autocast(device, params.precision):
            loss = cross_entropy(network(x), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return timed(step, network, params.batch_size, budget)
