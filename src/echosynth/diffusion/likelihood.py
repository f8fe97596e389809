"""How many bits per dimension a model needs for held-out images: the variational bound (Ho et al. 2020, eq. 5)."""

from typing import NamedTuple

import torch

from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress
from echosynth.compute.device import step_generator
from echosynth.diffusion.process import Denoiser, Estimate, Process

BATCH = 128  # images at a time through the network


class BitsPerDimension(NamedTuple):
    """The bound and its parts, all on the CPU.

    Attributes:
        total: (N,) float64, bits per dimension of each image: prior + sum of weights * variational.
        prior: (N,) float64, the divergence at T, which no training changes.
        variational: (N, K) float64, the term of each image at its steps.
        image_mse: (N, K) float64, squared error of the estimate of x_0 there, mean over the pixels; times
            (alpha / sigma)^2 it is that of the noise.
        steps: (N, K) int64, the steps t.
        weights: (K,) float64, how many steps each column stands for; 1 where all T were evaluated.
    """

    total: torch.Tensor
    prior: torch.Tensor
    variational: torch.Tensor
    image_mse: torch.Tensor
    steps: torch.Tensor
    weights: torch.Tensor


def strata(timesteps: int, terms: int | None) -> torch.Tensor:
    """Cut the steps into runs of which one step each is evaluated: step 0, whose term is a likelihood and not a
    divergence, is a run of its own, and the others are cut as evenly as whole steps allow.

    Args:
        timesteps: T.
        terms: K, the number of runs; None: T, each step by itself.

    Returns:
        (K + 1,) int64, the edges of the runs.

    Raises:
        EchosynthError: fewer than 2 terms, or more than steps.
    """
    count = timesteps if terms is None else terms
    if not 2 <= count <= timesteps:
        raise EchosynthError(f"the bits per dimension need 2 to {timesteps} (diffusion.timesteps) terms, not {count}")
    return torch.tensor([0, *(1 + (timesteps - 1) * cut // (count - 1) for cut in range(count))])


@torch.no_grad()
def bits_per_dimension(
    process: Process,
    network: Denoiser,
    x0: torch.Tensor,
    condition: tuple[torch.Tensor, ...],
    seed: int,
    batch_size: int = BATCH,
    terms: int | None = None,
    device: torch.device | None = None,
) -> BitsPerDimension:
    """Evaluate the variational bound on held-out images, as `calc_bpd_loop` of Improved Diffusion.

    Estimates of 8-bit images are clamped to [-1, 1]. With all T terms a call costs N * T evaluations of the network;
    with fewer, each image gets one random step from each run of steps (`strata`), weighted by the run's length: the
    total stays unbiased. Image n's draws depend on the seed and the number of images alone, not on the batch size.

    Args:
        process: the one that the network was trained with.
        network: network(x_t, t, *condition), in eval mode; the caller sets the precision.
        x0: (N, C, H, W) float32, 8-bit pixels in [-1, 1] (other values with a process of `pixels=False`: the total is
            then a differential entropy).
        condition: tensors (N, ...), cut into batches and handed on.
        seed: of steps and noise.
        batch_size: images at a time.
        terms: how many terms are evaluated for each image, 2 to T; None: all T.
        device: where the network is; None: where x0 is.

    Raises:
        EchosynthError: `terms` is out of range, or the network's channels do not fit the process's variance.
    """
    device = device or x0.device
    edges = strata(process.timesteps, terms)
    weights = edges.diff()
    columns, all_steps = [], []
    for k in progress(range(len(weights)), len(weights), "bits per dimension", "terms"):
        generator = step_generator(seed, k)
        steps = edges[k] + torch.randint(int(weights[k]), (len(x0),), generator=generator)
        noise = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
        parts = [
            _terms(process, network, *(tensor[rows].to(device) for tensor in (x0, steps, noise, *condition)))
            for rows in torch.arange(len(x0)).split(batch_size)
        ]
        columns.append(torch.cat(parts))
        all_steps.append(steps)
    variational, image_mse = torch.stack(columns, dim=1).unbind(-1)
    prior = process.prior_bpd(x0).double().cpu()
    total = prior + variational @ weights.double()
    return BitsPerDimension(total, prior, variational, image_mse, torch.stack(all_steps, dim=1), weights.double())


def _terms(
    process: Process,
    network: Denoiser,
    x0: torch.Tensor,
    t: torch.Tensor,
    noise: torch.Tensor,
    *condition: torch.Tensor,
) -> torch.Tensor:
    """Compute the variational term and the squared error of the estimate, (B, 2) float64 on the CPU."""
    xt = process.q_sample(x0, t, noise)
    prediction, fraction = process.model_output(network, xt, t, condition)
    estimate = process.predict_x0(prediction, xt, t)
    if process.pixels:
        estimate = estimate.clamp(-1, 1)
    term = process.vb_terms_bpd(x0, xt, t, Estimate(estimate, fraction))
    return torch.stack([term, (estimate - x0).square().flatten(1).mean(1)], dim=1).double().cpu()
