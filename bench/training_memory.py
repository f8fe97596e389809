"""`python -m bench.training_memory`: two training steps in a fresh process, and their peak memory in MiB on stdout.

The settings come as JSON on stdin: `diffusion` (that section of the parameters) and `size` of the images. It is the
memory that the allocator handed out on a GPU, else the process's resident memory, libraries included.
"""

import json
import subprocess
import sys

import torch

from bench.peak_memory import facts, peak
from bench.training import Turns
from echosynth.common.errors import EchosynthError
from echosynth.diffusion.options import DiffusionParams


def peak_of_training(params: DiffusionParams, size: int) -> float:
    """Peak memory of a training in a process of its own, MiB.

    Raises:
        EchosynthError: it failed, for want of memory for instance.
    """
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
    print(torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else peak(facts("self")))


if __name__ == "__main__":
    main()
