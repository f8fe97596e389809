"""Tensors: where they are computed, how precisely, from which random draws."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from echosynth.common.errors import EchosynthError
from echosynth.common.options import Precision as Precision


def pick_device() -> torch.device:
    """Pick the CUDA GPU of this process (the first, unless a launcher started several) when there is one, else the
    CPU."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def computes_bf16(device: torch.device) -> bool:
    """Tell whether `device` multiplies bf16 matrices in hardware: GPUs since Ampere, CPUs with AMX tiles."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_amx_tile_supported())


def resolved(device: torch.device, precision: Precision) -> Literal["no", "bf16", "fp16"]:
    """Say what `precision` means on `device`, in Accelerate's words (`no` is fp32).

    Raises:
        EchosynthError: the device cannot compute so.
    """
    if precision == "auto":
        return "bf16" if computes_bf16(device) else "no"
    if precision == "fp16" and device.type != "cuda":
        raise EchosynthError("precision = fp16 needs a CUDA GPU, and there is none; use auto, bf16 or fp32")
    if precision == "bf16" and device.type == "cuda" and not computes_bf16(device):
        name = torch.cuda.get_device_name(device)
        raise EchosynthError(f"precision = bf16, but {name} does not compute it; use auto, fp16 or fp32")
    return "no" if precision == "fp32" else precision


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Make a context in which convolutions and matrix products run in the given precision; see `resolved`."""
    word = resolved(device, precision)
    dtype = torch.float16 if word == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=word != "no")


@contextmanager
def memory_explained(parameter: str, value: int) -> Iterator[None]:
    """Turn running out of memory into one sentence.

    Args:
        parameter: name of the batch size, such as diffusion.batch_size.
        value: what it is.

    Raises:
        EchosynthError: instead of the allocator's error, with a batch size to try.
    """
    try:
        yield
    except RuntimeError as error:  # on the CPU the allocator raises a bare RuntimeError
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and not re.search("out of memory|allocate memory", text):
            raise
        advice = f"try {parameter} = {value // 2}" if value > 1 else "try a smaller network or smaller images"
        raise EchosynthError(f"out of memory with {parameter} = {value}: {advice}") from None


def step_generator(seed: int, *counters: int) -> torch.Generator:
    """Make a CPU generator that depends on the seed and the counters alone.

    Every training step draws from its own generator, so that no random state has to be saved to resume a run exactly.
    """
    return torch.Generator().manual_seed(mixed_seed(seed, *counters))


def mixed_seed(seed: int, *counters: int) -> int:
    """Mix the seed and the counters into 63 bits."""
    return int(np.random.SeedSequence((seed, *counters)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def to_tensor(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Turn images (N, H, W) uint8 into (N, 1, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(images)[:, None].float() / 127.5 - 1
