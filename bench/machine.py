"""What a rate depends on: the machine and its software, without anything that names the machine."""

import platform
import re
from pathlib import Path

import joblib
import torch

from echosynth import __version__
from echosynth.compute.device import computes_bf16, pick_device

Facts = dict[str, str | int]
# Dense bf16 arithmetic of cards by a part of their name, the longer names first, TFLOP/s: from NVIDIA's data sheets of
# A100, H100 and H200, whose values "with sparsity" are halved.
BF16_PEAKS = {"H200 NVL": 835.0, "H200": 989.0, "H100 NVL": 835.0, "H100 PCIe": 756.0, "H100": 989.0, "A100": 312.0}


def _cpu() -> str:
    """Model of the CPU, such as "Intel Xeon Processor"."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(encoding="utf-8"), re.M) if path.is_file() else None
    model = found[1] if found else platform.processor() or platform.machine()
    return " ".join(re.sub(r"\((R|TM)\)", " ", model, flags=re.I).split())


def facts() -> Facts:
    """CPU, usable cores, GPU where there is one, precision that `auto` stands for, and versions."""
    device = pick_device()
    return {
        "cpu": _cpu(),
        "cores": joblib.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else "none",
        "auto_precision": "bf16" if computes_bf16(device) else "fp32",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "echosynth": __version__,
    }


def bf16_peak(gpu: str) -> float | None:
    """Dense bf16 TFLOP/s of a GPU of this name; None where no data sheet was looked up."""
    return next((peak for name, peak in BF16_PEAKS.items() if name in gpu), None)


def file_name(machine: Facts) -> str:
    """Name for the results of a machine: its GPU, else its CPU and cores, in lower case with hyphens."""
    text = machine["gpu"] if machine["gpu"] != "none" else f"{machine['cpu']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
