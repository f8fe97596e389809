"""Tensors: where they are computed, how precisely, from which random draws."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from echosynth.common.errors import EchosynthError
from echosynth.common.options import Precision as Precision
from echosynth.compute.bf16 import WORTH, bf16_gain
from echosynth.compute.threads import limit_threads


def pick_device() -> torch.device:
    """Pick the CUDA GPU of this process (the first, unless a launcher started several) when there is one, else the
    CPU, which then computes with no more threads than there are cores for it."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    limit_threads()
    return torch.device("cpu")


def computes_bf16(device: torch.device) -> bool:
    """Tell whether `device` multiplies bf16 in hardware: GPUs since Ampere, and CPUs that were measured to gain by it
    (AMX, AVX-512 BF16 and the like)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bf16_gain() >= WORTH


@cache
def _say_emulated() -> None:
    """Say, once, that bf16 was asked for where it is slow."""
    print(
        f"precision = bf16, but this CPU takes {1 / bf16_gain():.1f} times as long for it as for fp32 (measured); "
        "use auto or fp32 unless you want its rounding",
        file=sys.stderr,
    )


def resolved(device: torch.device, precision: Precision) -> Literal["no", "bf16", "fp16"]:
    """Say what `precision` means on `device`, in Accelerate's words (`no` is fp32).

    A CPU that does not gain by bf16 computes in it all the same, as in PyTorch, and that is said on stderr.

    Raises:
        EchosynthError: the device cannot compute so.
    """
    if precision == "auto":
        return "bf16" if computes_bf16(device) else "no"
    if precision == "fp16" and device.type != "cuda":
        raise EchosynthError("precision = fp16 needs a CUDA GPU, and there is none; use auto, bf16 or fp32")
    if precision == "bf16" and not computes_bf16(device):
        if device.type != "cuda":
            _say_emulated()
            return "bf16"
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
