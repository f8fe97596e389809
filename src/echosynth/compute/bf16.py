"""Whether a CPU gains by bf16: measured once, and kept beside the states of trainings, which depend on the answer."""

import json
import os
import platform
import re
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from filelock import FileLock

from echosynth.common.errors import EchosynthError
from echosynth.common.files import fingerprint, workspace, write_json
from echosynth.compute.threads import with_threads

CPUINFO = Path("/proc/cpuinfo")
TELLING = "vendor_id|cpu family|model|model name|stepping|flags|CPU implementer|CPU part|Features"
SECONDS, TURNS = 0.4, 10
BATCH, CHANNELS, SIDE = 16, 96, 8  # of a block of the demo's U-Net
WORTH = 1.15


def cpu_facts() -> list[str]:
    """What tells one kind of CPU from another: its model and what it can do. A name alone ("AMD EPYC") is that of many.

    Returns:
        Lines "key: value" of the first core in /proc/cpuinfo; without that file what the platform says.
    """
    if not CPUINFO.is_file():
        return [platform.machine(), platform.processor()]
    core = CPUINFO.read_text(encoding="utf-8").partition("\n\n")[0]
    return [" ".join(line.split()) for line in core.splitlines() if re.match(rf"({TELLING})\s*:", line)]


def measured_gain() -> float:
    """Measure how many times as fast as in fp32 this CPU computes in bf16.

    A convolution, forwards and backwards, and a matrix product under autocast, as in the demo's U-Net, in turns with
    the same in fp32; best time over best time, as others only waited for something. One thread computes, so that
    neither the number of threads nor other work changes the answer. Takes less than a second, also where bf16 is
    emulated.
    """
    # The numbers do not matter, and the random state of the process is left alone.
    x = torch.ones(BATCH, CHANNELS, SIDE, SIDE)
    kernel, matrix = torch.ones(CHANNELS, CHANNELS, 3, 3), torch.ones(4 * CHANNELS, CHANNELS)

    def seconds(bf16: bool) -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            features = F.conv2d(x, kernel, padding=1)
            F.linear(features.flatten(2).mT, matrix).sum().backward()
        return time.perf_counter() - began

    # Whoever asks may be sampling, where gradients are off.
    with with_threads(1), torch.inference_mode(False), torch.enable_grad():
        x, kernel, matrix = (tensor.clone().requires_grad_() for tensor in (x, kernel, matrix))
        seconds(False), seconds(True)  # the first time is no measure: kernels are made
        ends, laps = time.perf_counter() + SECONDS, list[tuple[float, float]]()
        while not laps or (len(laps) < TURNS and time.perf_counter() < ends):
            laps.append((seconds(False), seconds(True)))
    fp32, bf16 = map(min, zip(*laps, strict=True))
    return fp32 / bf16


def _kept(path: Path) -> float | None:
    """Read a gain that was measured before; None where there is none to be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        gain = float(json.loads(path.read_text(encoding="utf-8"))["gain"])
        return gain if gain > 0 else None
    return None


@cache
def bf16_gain() -> float:
    """Say how many times as fast as in fp32 this CPU computes in bf16, see `measured_gain`.

    It is measured once for a kind of CPU and a version of torch, and kept under the workspace's `.cache`: an answer
    that changed with the moment would leave the states of trainings and sets under `.resume` behind, whose names tell
    the precision. Where nothing can be written, it is measured in each process.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    path = workspace() / ".cache" / "bf16" / f"{fingerprint(cpu_facts(), torch.__version__, limit)}.json"
    with suppress(OSError, EchosynthError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # processes that begin together have to agree
            gain = _kept(path)
            if gain is None:
                gain = round(measured_gain(), 3)
                write_json(path, {"gain": gain, "torch": torch.__version__, "cpu": cpu_facts()})
            return gain
    return measured_gain()
