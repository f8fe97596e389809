"""Sampling with DPM-Solver++ (2M): about 20 evaluations of the network for an image."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from echosynth.device import Precision, autocast
from echosynth.diffusion.network import NULL_LABEL
from echosynth.diffusion.process import Process
from echosynth.views import VIEWS

Predictor = Callable[[torch.Tensor, int], torch.Tensor]


def step_grid(process: Process, evaluations: int) -> npt.NDArray[np.int64]:
    """Steps at which the network is asked: from T-1 down to 0, quadratically closer towards 0 (Song et al. 2021,
    appendix D.3).

    On Gaussian data even steps in t leave twice this grid's error at 20 evaluations and do not reach the solver's
    second order.

    Args:
        process: the noise schedule.
        evaluations: how many, at most T; fewer where two would round to the same step.
    """
    way = np.linspace(1, 0, min(evaluations, process.timesteps))
    return np.unique((way**2 * (process.timesteps - 1)).round().astype(np.int64))[::-1].copy()


def dpm_solver_pp(process: Process, predict_x0: Predictor, noise: torch.Tensor, evaluations: int) -> torch.Tensor:
    """Solve the probability-flow equation from pure noise to the image with DPM-Solver++ (2M) (Lu et al. 2022b,
    algorithm 2).

    Args:
        process: the noise schedule.
        predict_x0: (x_t, t) -> estimate of x_0, same shape.
        noise: (B, ...) standard normal: x at t = T-1.
        evaluations: calls of `predict_x0`.

    Returns:
        (B, ...): the last estimate of x_0. Ending on the estimate itself is the exact last step to sigma = 0.
    """
    x = noise
    grid = step_grid(process, evaluations)
    lambdas = process.log_snr[grid]
    older: torch.Tensor | None = None
    for index, t in enumerate(grid):
        x0 = predict_x0(x, int(t))
        if index + 1 == len(grid):
            return x0
        following = grid[index + 1]
        h = lambdas[index + 1] - lambdas[index]
        direction = x0
        if older is not None and index + 2 < len(grid):  # the step before last is of first order, for stability
            ratio = (lambdas[index] - lambdas[index - 1]) / h
            direction = x0 + (x0 - older) / (2 * ratio)
        x = (
            float(process.sigma[following] / process.sigma[t]) * x
            - float(process.alpha[following] * np.expm1(-h)) * direction
        )
        older = x0
    raise AssertionError("a grid has at least one step")


def image_noise(seed: int, number: int, size: int) -> npt.NDArray[np.float32]:
    """The noise (1, size, size) that image `number` starts from: it depends on (seed, number) alone."""
    return np.random.default_rng((seed, number)).standard_normal((1, size, size), dtype=np.float32)


def view_of(number: int) -> int:
    """Index of the view of image `number` in a balanced set: the views take turns."""
    return number % len(VIEWS)


@torch.no_grad()
def sample_views(
    network: torch.nn.Module,
    process: Process,
    numbers: range,
    size: int,
    seed: int,
    evaluations: int,
    guidance: float,
    batch_size: int,
    precision: Precision,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Images `numbers` of a balanced synthetic set, one by one, in constant memory.

    Args:
        network: trained, in eval mode, on its device.
        process: the schedule that it was trained with.
        numbers: which images; number n shows view n mod 4.
        size: side in pixels.
        seed: of the set.
        evaluations: of the network for an image.
        guidance: classifier-free guidance w: out = null + w (conditional - null) (Ho & Salimans 2022); 1 needs no
            second evaluation.
        batch_size: images at a time; the arithmetic is always done on whole batches of this size, so that the last one
            is like the others.
        precision: see `echosynth.device`.

    Yields:
        (size, size) uint8.
    """
    device = next(network.parameters()).device
    for first in range(numbers.start, numbers.stop, batch_size):
        batch = range(first, first + batch_size)
        noise = torch.from_numpy(np.stack([image_noise(seed, number, size) for number in batch])).to(device)
        labels = torch.tensor([view_of(number) for number in batch], device=device)

        def predict_x0(x: torch.Tensor, t: int, labels: torch.Tensor = labels) -> torch.Tensor:
            steps = torch.full((len(x),), t, device=x.device)
            with autocast(x.device, precision):
                output = network(x, steps, labels).float()
                if guidance != 1:
                    null = network(x, steps, torch.full_like(labels, NULL_LABEL)).float()
                    output = null + guidance * (output - null)
            return process.to_x0(output, x, steps).clamp(-1, 1)

        x0 = dpm_solver_pp(process, predict_x0, noise, evaluations)
        pictures = ((x0 + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()[:, 0]
        yield from pictures[: max(0, numbers.stop - first)]
