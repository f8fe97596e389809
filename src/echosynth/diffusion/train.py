"""Training of the diffusion model: one loop, resumable at any step with the same result."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch

from echosynth.config import DiffusionParams
from echosynth.device import autocast, mixed_seed, pick_device, step_generator, to_tensor
from echosynth.diffusion.ema import Ema
from echosynth.diffusion.network import NULL_LABEL, ViewDenoiser, build
from echosynth.diffusion.process import Process
from echosynth.errors import EchosynthError
from echosynth.images.augment import augment
from echosynth.images.store import Images
from echosynth.progress import progress
from echosynth.resume import ResumeState, code_hash

Point = dict[str, float]
EVALUATION_BATCH = 128


@dataclass
class Trained:
    """What a training leaves behind.

    Attributes:
        weights: the averaged (EMA) weights.
        curve: one point for each `log_every` steps: step, loss, validation_loss, learning_rate.
        images_per_second: throughput of this process, kept out of tracked files.
    """

    weights: dict[str, torch.Tensor]
    curve: list[Point] = field(default_factory=list)
    images_per_second: float = 0.0


def learning_rate(params: DiffusionParams, step: int) -> float:
    """Linear warm-up, then a cosine down to 0 at the last step."""
    if step < params.warmup_steps:
        return params.learning_rate * (step + 1) / params.warmup_steps
    share = (step - params.warmup_steps) / max(1, params.steps - params.warmup_steps)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _state(network: ViewDenoiser, ema: Ema, optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    """Weights, averages and the optimizer's moments by name."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"ema.{name}": tensor for name, tensor in ema.weights.items()}
    for name, parameter in network.named_parameters():
        tensors |= {
            f"optimizer.{name}.{key}": cast(torch.Tensor, value) for key, value in optimizer.state[parameter].items()
        }
    return tensors


def _restore(tensors: dict[str, torch.Tensor], network: ViewDenoiser, ema: Ema, optimizer: torch.optim.AdamW) -> None:
    """Put back what `_state` took."""
    device = next(network.parameters()).device
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    for name, average in ema.weights.items():
        average.copy_(tensors[f"ema.{name}"])
    for name, parameter in network.named_parameters():
        keys = ("step", "exp_avg", "exp_avg_sq")
        optimizer.state[parameter] = {key: tensors[f"optimizer.{name}.{key}"].to(device) for key in keys}


def training_state(params: DiffusionParams, data_hash: str) -> ResumeState:
    """Where a training with these parameters on these images keeps its resumable state."""
    return ResumeState(
        "diffusion", params.model_dump(), data_hash, code_hash("diffusion", "device.py", "images/augment.py")
    )


@torch.no_grad()
def held_out_loss(
    network: ViewDenoiser, process: Process, params: DiffusionParams, x0: torch.Tensor, labels: torch.Tensor
) -> float:
    """Mean loss on held-out images, always with the same noise and steps, so that points of a curve can be compared."""
    device = next(network.parameters()).device
    generator = step_generator(params.seed, 2)
    t = torch.randint(process.timesteps, (len(x0),), generator=generator).to(device)
    noise = torch.randn(x0.shape, generator=generator).to(device)
    network.eval()
    total = 0.0
    for rows in torch.arange(len(x0)).split(EVALUATION_BATCH):
        with autocast(device, params.precision):
            total += (
                process.losses(network, x0[rows].to(device), labels[rows].to(device), t[rows], noise[rows]).sum().item()
            )
    network.train()
    return total / len(x0)


def train(
    params: DiffusionParams,
    images: Images,
    labels: torch.Tensor,
    validation_images: Images,
    validation_labels: torch.Tensor,
    state: ResumeState,
    on_point: Callable[[Point], None] = lambda point: None,
) -> Trained:
    """Train a class-conditional diffusion model.

    Args:
        params: section `diffusion` of the parameters.
        images: (N, S, S) uint8, the training images.
        labels: (N,) int64, index of the view of each.
        validation_images: held-out images for the loss curve; the training does not depend on them.
        validation_labels: their views.
        state: where the run is saved and found again, see `training_state`; the caller clears it once the result is
            written.
        on_point: called with each point of the curve as it is made.

    Returns:
        Averaged weights and the curve.

    Raises:
        EchosynthError: the loss is not finite.
    """
    device = pick_device()
    process = Process(params.schedule, params.timesteps, params.prediction, params.min_snr_gamma)
    torch.manual_seed(mixed_seed(params.seed, 0))
    network = build(params, images.shape[-1]).to(device).train()
    ema = Ema(network, params.ema_decay)
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=0.0, fused=True)

    first, curve, losses = 0, cast(list[Point], []), cast(list[float], [])
    if (saved := state.load()) is not None:
        tensors, facts = saved
        _restore(tensors, network, ema, optimizer)
        first, curve, losses = (
            cast(int, facts["step"]),
            cast(list[Point], facts["curve"]),
            cast(list[float], facts["losses"]),
        )
        ema.updates = first
        print(f"training goes on at step {first} of {params.steps}", file=sys.stderr)

    x_all, held_out = to_tensor(images), to_tensor(validation_images)
    began = time.monotonic()
    for step in progress(range(first, params.steps), params.steps, "diffusion training", "steps", first):
        torch.manual_seed(mixed_seed(params.seed, 3, step))  # dropout
        generator = step_generator(params.seed, 1, step)
        pick = torch.randint(len(images), (params.batch_size,), generator=generator)
        x0 = augment(x_all[pick], params.augment, generator).to(device)
        hidden = torch.rand(params.batch_size, generator=generator) < params.label_dropout
        shown = torch.where(hidden, NULL_LABEL, labels[pick]).to(device)
        t = torch.randint(process.timesteps, (params.batch_size,), generator=generator).to(device)
        noise = torch.randn(x0.shape, generator=generator).to(device)

        with autocast(device, params.precision):
            loss = process.losses(network, x0, shown, t, noise).mean()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise EchosynthError(
                f"the diffusion loss is {losses[-1]} at step {step}: lower diffusion.learning_rate "
                f"({params.learning_rate}) or diffusion.gradient_clip ({params.gradient_clip}), "
                "or set diffusion.precision to fp32"
            )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(params, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), params.gradient_clip)
        optimizer.step()
        ema.update(network)

        done = step + 1
        if done % params.log_every == 0 or done == params.steps:
            point = {
                "step": float(done),
                "loss": sum(losses) / len(losses),
                "learning_rate": learning_rate(params, step),
            }
            if done % (5 * params.log_every) == 0 or done == params.steps:
                point["validation_loss"] = held_out_loss(network, process, params, held_out, validation_labels)
            losses = []
            curve.append(point)
            on_point(point)
        if done % params.checkpoint_every == 0 and done < params.steps:
            state.save(_state(network, ema, optimizer), {"step": done, "curve": curve, "losses": losses})
    seconds = time.monotonic() - began
    return Trained(ema.weights, curve, (params.steps - first) * params.batch_size / max(seconds, 1e-9))
