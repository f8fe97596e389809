"""The autoencoder of the latent route (Medfusion: Müller-Franzes et al. 2023): images to small codes and back.

A variational autoencoder with a light Kullback-Leibler term (Kingma & Welling 2014; Rombach et al. 2022, section 3.1
and appendix G). Reconstruction is measured by the absolute error, or as in Medfusion by squared error and structural
similarity. The perceptual and the adversarial term of both need a network trained on photographs, and invent speckle
that the picture does not hold.
"""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import nn

from echosynth.common.errors import EchosynthError
from echosynth.common.options import Precision
from echosynth.common.progress import progress
from echosynth.common.resume import ResumeState, code_hash
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.compute.device import (
    autocast,
    memory_explained,
    mixed_seed,
    pick_device,
    resolved,
    step_generator,
    to_tensor,
)
from echosynth.diffusion.optimisation import CurvePoint, restore_training, training_tensors, warmed_cosine
from echosynth.diffusion.options import AutoencoderParams, DiffusionParams, check_autoencoder_levels
from echosynth.imagesets.augment import augment
from echosynth.imagesets.store import Images

WARMUP_SHARE = 0.05  # of the steps
GRADIENT_NORM = 1.0
INITIAL_WEIGHTS, STEP = 10, 11  # counters beside the seed: other draws than those of the diffusion model


class Autoencoder(nn.Module):
    """Convolutional encoder and decoder (`AutoencoderKL` of diffusers) for one-channel images.

    Each level of `params.channels` after the first halves the side: L levels turn (B, 1, S, S) into
    (B, latent_channels, s, s) with s = S / 2^(L - 1).

    Args:
        params: channels, latent channels and blocks a level.
        size: side S of the images in pixels.

    Raises:
        OptionError: the levels do not divide the size.
    """

    def __init__(self, params: AutoencoderParams, size: int) -> None:
        super().__init__()
        check_autoencoder_levels(params, size)
        levels = len(params.channels)
        _torchvision.make_importable()
        from diffusers.models import AutoencoderKL

        self.latent_side = size >> (levels - 1)
        self.layers = AutoencoderKL(
            in_channels=1,
            out_channels=1,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=tuple(params.channels),
            layers_per_block=params.blocks,
            latent_channels=params.latent_channels,
            norm_num_groups=math.gcd(32, *params.channels),
            sample_size=size,
        )

    def posterior(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute mean and log variance of q(z | x), each (B, c, s, s) float32, for images (B, 1, S, S) in [-1, 1]."""
        parameters = self.layers.encode(images).latent_dist.parameters.float()
        mean, log_variance = parameters.chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents (B, c, s, s) to images (B, 1, S, S) float32, in about [-1, 1]."""
        return self.layers.decode(latents).sample.float()


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Compute KL(q(z | x) || N(0, 1)) of each image in nats (Kingma & Welling 2014, appendix B): (B, ...) twice ->
    (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


class Losses(NamedTuple):
    """Means over a batch.

    Attributes:
        total: what is minimised.
        error: absolute error a pixel, images in [-1, 1].
        divergence: Kullback-Leibler term in nats an image.
    """

    total: torch.Tensor
    error: torch.Tensor
    divergence: torch.Tensor


def losses(network: Autoencoder, images: torch.Tensor, params: AutoencoderParams, generator: torch.Generator) -> Losses:
    """Compute the error of reconstruction + kl_weight * KL, both summed over an image (Rombach et al. 2022) and divided
    by its pixels. The error is absolute, or squared + 1 - SSIM (Wang et al. 2004), as Medfusion's but for its
    perceptual term.

    Their weights (1e-6 for KL) mean the same here, and the learning rate need not follow the size of the images.

    Args:
        network: the autoencoder.
        images: (B, 1, S, S) in [-1, 1].
        params: weight of the divergence, and what the error is.
        generator: source of the noise in z = mean + deviation * noise, on the CPU.
    """
    mean, log_variance = network.posterior(images)
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    decoded = network.decode(mean + (log_variance / 2).exp() * noise)
    error = (decoded - images).abs().mean()
    lost = error if params.loss == "absolute" else (decoded - images).square().mean() + 1 - similarity(decoded, images)
    divergence = kl_divergence(mean, log_variance).mean()
    return Losses(lost + params.kl_weight * divergence / images[0].numel(), error, divergence)


def similarity(decoded: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Mean structural similarity of images (B, 1, S, S) in [-1, 1]."""
    from pytorch_msssim import ssim

    pair = ((one.float().clamp(-1, 1) + 1) / 2 for one in (decoded, images))
    return torch.as_tensor(ssim(*pair, data_range=1, nonnegative_ssim=True))


@dataclass
class TrainedAutoencoder:
    """What a training leaves behind.

    Attributes:
        network: in eval mode, on its device.
        curve: one point for each `log_every` steps: step, loss, error, divergence (see `Losses`), learning_rate.
        images_per_second: throughput of this process, kept out of tracked files.
    """

    network: Autoencoder
    curve: list[CurvePoint] = field(default_factory=list)
    images_per_second: float = 0.0


def learning_rate(params: AutoencoderParams, step: int) -> float:
    """Compute the learning rate: a linear warm-up over the first twentieth of the steps, then a cosine down to 0."""
    return warmed_cosine(params.learning_rate, step, params.steps, math.ceil(WARMUP_SHARE * params.steps))


def training_precision(params: DiffusionParams) -> Precision:
    """Take diffusion.precision, but fp32 for fp16, whose range the activations of KL autoencoders leave."""
    return "fp32" if params.precision == "fp16" else params.precision


def autoencoder_state(params: DiffusionParams, size: int, data_hash: str) -> ResumeState:
    """Name the resumable state of a training with these parameters on these images; settings of the diffusion model do
    not matter to it."""
    return ResumeState(
        "autoencoder",
        params.autoencoder.model_dump(),
        (params.seed, resolved(pick_device(), training_precision(params)), params.log_every),
        (size, data_hash),
        code_hash(__name__),
    )


def _train_step(
    params: DiffusionParams, network: Autoencoder, optimizer: torch.optim.AdamW, images: Images, step: int
) -> list[float]:
    """Do one optimisation step, drawn from the seed and the step alone; returns its `Losses` as numbers."""
    settings, device = params.autoencoder, next(network.parameters()).device
    generator = step_generator(params.seed, STEP, step)
    pick = torch.randint(len(images), (settings.batch_size,), generator=generator).numpy()
    x = augment(to_tensor(images[pick]), settings.augment, generator).to(device)
    with autocast(device, training_precision(params)):
        parts = losses(network, x, settings, generator)
    values = cast(list[float], torch.stack(parts).tolist())
    if not math.isfinite(values[0]):
        raise EchosynthError(
            f"the autoencoder's loss is {values[0]} at step {step}: lower diffusion.autoencoder.learning_rate "
            f"({settings.learning_rate}) or diffusion.autoencoder.kl_weight ({settings.kl_weight}), or set "
            "diffusion.precision to fp32"
        )
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, step)
    optimizer.zero_grad(set_to_none=True)
    parts.total.backward()
    nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
    optimizer.step()
    return values


def train_autoencoder(
    params: DiffusionParams,
    images: Images,
    state: ResumeState,
    on_point: Callable[[CurvePoint], None] = lambda point: None,
) -> TrainedAutoencoder:
    """Train the autoencoder with AdamW.

    Args:
        params: section `diffusion`: its `autoencoder`, `seed`, `precision`, `log_every` and `checkpoint_every`.
        images: (N, S, S) uint8, the training images.
        state: where the run is saved and found again, see `autoencoder_state`; the caller clears it once the result is
            written.
        on_point: called with each point of the curve as it is made.

    Raises:
        EchosynthError: the levels do not divide the size, the loss is not finite, or memory runs out.
    """
    settings, device = params.autoencoder, pick_device()
    torch.manual_seed(mixed_seed(params.seed, INITIAL_WEIGHTS))
    network = Autoencoder(settings, images.shape[-1]).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.0, fused=True)

    first, curve, values = 0, cast(list[CurvePoint], []), cast(list[list[float]], [])
    if (saved := state.load()) is not None:
        tensors, facts = saved
        restore_training(tensors, network, optimizer)
        first = cast(int, facts["step"])
        curve, values = cast(list[CurvePoint], facts["curve"]), cast(list[list[float]], facts["values"])
        print(f"autoencoder training goes on at step {first} of {settings.steps}", file=sys.stderr)

    began = time.monotonic()
    steps = range(first, settings.steps)
    for step in progress(steps, settings.steps, "autoencoder training", "steps", first, settings.batch_size):
        with memory_explained("diffusion.autoencoder.batch_size", settings.batch_size):
            values.append(_train_step(params, network, optimizer, images, step))
        done = step + 1
        if done % params.log_every == 0 or done == settings.steps:
            means = (sum(column) / len(values) for column in zip(*values, strict=True))
            point = {"step": float(done), "learning_rate": learning_rate(settings, step)}
            point |= dict(zip(("loss", "error", "divergence"), means, strict=True))
            values = []
            curve.append(point)
            on_point(point)
        if done % params.checkpoint_every == 0 and done < settings.steps:
            state.save(training_tensors(network, optimizer), {"step": done, "curve": curve, "values": values})
    seconds = time.monotonic() - began
    throughput = (settings.steps - first) * settings.batch_size / max(seconds, 1e-9)
    return TrainedAutoencoder(network.eval(), curve, throughput)
