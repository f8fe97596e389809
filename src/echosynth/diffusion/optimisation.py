"""What both trainings of this room share: points of a curve, the learning rate, and the tensors that a state holds."""

import math
from collections.abc import Mapping

import torch
from torch import nn

CurvePoint = dict[str, float]  # name -> value, `step` among them
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def warmed_cosine(peak: float, step: int, steps: int, warmup: int) -> float:
    """Compute the learning rate of a step, counted from 0: a linear warm-up to `peak`, then a cosine down to 0 at the
    last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * share))


def training_tensors(network: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    """Name the weights and the optimizer's moments."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        tensors |= {f"optimizer.{name}.{key}": optimizer.state[parameter][key] for key in MOMENTS}
    return tensors


def restore_training(tensors: Mapping[str, torch.Tensor], network: nn.Module, optimizer: torch.optim.AdamW) -> None:
    """Put back what `training_tensors` took."""
    network.load_state_dict(part_of(tensors, "network."))
    for name, parameter in network.named_parameters():
        saved = {key: tensors[f"optimizer.{name}.{key}"] for key in MOMENTS}
        # The fused optimizer wants moments laid out as the parameter is, which is channels_last on a GPU.
        moments = {key: torch.empty_like(parameter).copy_(saved[key]) for key in MOMENTS if key != "step"}
        optimizer.state[parameter] = {"step": saved["step"].to(parameter.device), **moments}


def part_of(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Pick those whose name begins with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
