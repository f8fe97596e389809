"""Peak memory of two training steps: on a GPU what the allocator handed out, else the resident memory of a process.

`python -m bench.training_memory` is that process: its settings come as JSON on stdin, `diffusion` (that section of the
parameters) and `size` of the images; MiB go to stdout.
"""

import gc
import json
import subprocess
import sys

import torch

from bench.peak_memory import facts, peak
from bench.training import Turns
from echosynth.common.errors import EchosynthError
from echosynth.compute.device import memory_explained
from echosynth.diffusion.options import DiffusionParams


def peak_of_training(params: DiffusionParams, size: int) -> float:
    """Peak memory of a training, MiB: on a GPU beyond what is held already, else of a process of its own.

    Raises:
        EchosynthError: it failed, for want of memory for instance.
    """
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        with memory_explained("diffusion.batch_size", params.batch_size):
            Turns(params, size, 1, 1).measure()
        return (torch.cuda.max_memory_allocated() - held) / 2**20
    command = [sys.executable, "-m", "bench.training_memory"]
    settings = json.dumps({"diffusion": params.model_dump(), "size": size})
    done = subprocess.run(command, input=settings, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise EchosynthError(
            f"the training whose memory was measured failed, with batches of {params.batch_size}: {reason}"
        )
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Train and print."""
    settings = json.load(sys.stdin)
    Turns(DiffusionParams.model_validate(settings["diffusion"]), settings["size"], 1, 1).measure()
    print(peak(facts("self")))


if __name__ == "__main__":
    main()
