"""Sampled images: image n of a set from its view, its source and (seed, n) alone, with guidance."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from echosynth.common.options import Precision
from echosynth.compute.device import autocast
from echosynth.diffusion.model import DiffusionModel
from echosynth.diffusion.network import NULL_VIEW
from echosynth.diffusion.options import SolverParams
from echosynth.diffusion.process import Estimate
from echosynth.diffusion.solvers import Denoise, solve
from echosynth.imagesets.store import Images

Indices = npt.NDArray[np.int64] | torch.Tensor

# Images that a CPU always computes together. The rounding of convolutions and matrix products depends on the size of
# the batch (by 1e-6 of the range in fp32 and 1e-2 in bf16 for one evaluation), but for one size neither on an image's
# place in it, nor on the other images, nor on the number of threads: measured bit for bit. With 20, a CPU is about as
# fast as with 100.
CPU_BATCH = 20


def image_noise(seed: int, number: int, shape: tuple[int, ...], step: int = 0) -> npt.NDArray[np.float32]:
    """Draw the standard normal noise of image `number`: it depends on (seed, number, step) alone.

    Args:
        seed: of the set.
        number: of the image.
        shape: of the result.
        step: 0 for the noise that the image starts from, 1 and above for what stochastic solvers add on the way.
    """
    # numpy pads with zeros: (seed, number, 0) draws the same numbers as (seed, number).
    return np.random.default_rng((seed, number, step)).standard_normal(shape, dtype=np.float32)


def _guided_denoise(
    model: DiffusionModel,
    views: torch.Tensor,
    sources: torch.Tensor,
    options: SolverParams,
    precision: Precision,
    guide: DiffusionModel | None,
) -> Denoise:
    """Make the function that estimates x_0 of images of these views and sources (B,), guided."""
    process = model.process
    guided_by, guide_views = (guide, views) if guide else (model, torch.full_like(views, NULL_VIEW))
    low, high = options.guidance_interval

    def denoise(x: torch.Tensor, t: int) -> Estimate:
        steps = torch.full((len(x),), t, device=x.device)
        guided = options.guidance != 1 and low <= t / (process.timesteps - 1) <= high
        with autocast(x.device, precision):
            prediction, fraction = process.model_output(model.network, x, steps, (views, sources))
            if guided:
                condition = guide_views, sources
                other, _ = guided_by.process.model_output(guided_by.network, x, steps, condition)
                prediction = other + options.guidance * (prediction - other)
        x0 = process.predict_x0(prediction, x, steps)
        return Estimate(x0.clamp(-1, 1) if model.bounded else x0, fraction)

    return denoise


def _together(
    model: DiffusionModel,
    views: torch.Tensor,
    sources: torch.Tensor,
    numbers: Sequence[int],
    seed: int,
    options: SolverParams,
    precision: Precision,
    guide: DiffusionModel | None,
) -> Images:
    """Do what `sample_batch` says for images whose arithmetic is done together."""
    device = views.device

    def noise(step: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([image_noise(seed, n, model.shape, step) for n in numbers])).to(device)

    denoise = _guided_denoise(model, views, sources, options, precision, guide)
    codes = solve(options, model.process, denoise, noise(0), fresh=lambda number: noise(number + 1))
    pictures = ((model.space.decode(codes) + 1) * 127.5).round().clamp(0, 255)
    return pictures.to(torch.uint8).cpu().numpy()[:, 0]


@torch.inference_mode()
def sample_batch(
    model: DiffusionModel,
    views: Indices,
    sources: Indices,
    numbers: Sequence[int],
    seed: int,
    options: SolverParams,
    precision: Precision,
    guide: DiffusionModel | None = None,
) -> Images:
    """Sample some images of a set.

    Classifier-free guidance (CFG, Ho & Salimans 2022): out = null + w (conditional - null), where null is the network
    without the view (the source stays told) or, as autoguidance (Karras et al. 2024), an earlier snapshot with the same
    view and source; within an interval of t alone (Kynkäänniemi et al. 2024). With w = 1 and outside the interval the
    network is evaluated once. A learned variance is the conditional one.

    On a CPU image n is the same bit for bit whatever is sampled beside it: see `CPU_BATCH`. On a GPU all images are
    computed together, and other batches may round differently.

    Args:
        model: on its device.
        views: (B,) indices of `VIEWS`, or `NULL_VIEW`.
        sources: (B,) indices of the model's sources, or its null source.
        numbers: B numbers of the images in the set: their noise depends on (seed, number) alone.
        seed: of the set, at least 0.
        options: solver and guidance; see `echosynth.diffusion.options.check_guidance`.
        precision: see `echosynth.compute.device.resolved`.
        guide: an earlier snapshot of the same training, for autoguidance.

    Returns:
        (B, S, S) uint8.

    Raises:
        EchosynthError: the device does not compute with that precision.
    """
    device = next(model.network.parameters()).device
    count = len(numbers)
    views, sources = (torch.as_tensor(tokens).to(device) for tokens in (views, sources))
    size = CPU_BATCH if device.type == "cpu" else count
    batches = []
    for first in range(0, count, size):
        rows = [n % count for n in range(first, first + size)]  # the last batch is filled up with the first images
        chosen = [numbers[n] for n in rows]
        batches.append(_together(model, views[rows], sources[rows], chosen, seed, options, precision, guide))
    return np.concatenate(batches)[:count]


def sample_images(
    model: DiffusionModel,
    views: Indices,
    sources: Indices,
    seed: int,
    options: SolverParams,
    precision: Precision,
    guide: DiffusionModel | None = None,
    batch_size: int = 100,
) -> Images:
    """Sample images 0 ... N-1 of a small set that fits into memory; see `sample_batch`.

    Args:
        batch_size: most images that are computed together on a GPU.

    Returns:
        (N, S, S) uint8, N being the number of views (and sources).
    """
    blocks = [slice(first, first + batch_size) for first in range(0, len(views), batch_size)]
    numbers = range(len(views))
    return np.concatenate(
        [sample_batch(model, views[b], sources[b], numbers[b], seed, options, precision, guide) for b in blocks]
    )
