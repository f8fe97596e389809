"""Tensors: where they are computed, how precisely, from which random draws."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

Precision = Literal["auto", "fp32", "bf16"]


def pick_device() -> torch.device:
    """The first CUDA GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 matrices in hardware: GPUs since Ampere, CPUs with AMX tiles."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Context in which convolutions and matrix products run in bf16 (`bf16`, or `auto` where hardware does it), else
    in fp32."""
    enabled = precision == "bf16" or (precision == "auto" and computes_bf16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def step_generator(seed: int, *counters: int) -> torch.Generator:
    """A CPU generator that depends on the seed and the counters alone.

    Every training step draws from its own generator, so that no random state has to be saved to resume a run exactly.
    """
    return torch.Generator().manual_seed(mixed_seed(seed, *counters))


def mixed_seed(seed: int, *counters: int) -> int:
    """63 well-mixed bits of the seed and the counters."""
    return int(np.random.SeedSequence((seed, *counters)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def to_tensor(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """(N, H, W) uint8 -> (N, 1, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(images)[:, None].float() / 127.5 - 1
