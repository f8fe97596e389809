"""Several processes for one stage: one for each GPU, through torchrun; Accelerate joins them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta

import torch

from echosynth.common.errors import EchosynthError

PROCESSES = "ECHOSYNTH_PROCESSES"
# Else processes look for each other under the name of this machine, and wait for ever where nothing resolves it.
ON_THIS_MACHINE = ("--standalone", "--local-addr", "127.0.0.1")


def is_main_process() -> bool:
    """Say whether this process writes results and logs: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def wanted_processes(without_gpu: int = 1) -> int:
    """Return how many processes share the work: `ECHOSYNTH_PROCESSES`, else one for each GPU, else `without_gpu`.

    Raises:
        EchosynthError: the variable is no whole number above 0.
    """
    text = os.environ.get(PROCESSES, "")
    if not text:
        return torch.cuda.device_count() or without_gpu
    if not text.isdecimal() or int(text) < 1:
        raise EchosynthError(f"{PROCESSES} = {text!r} must be a whole number above 0")
    if torch.cuda.is_available() and int(text) > (cards := torch.cuda.device_count()):
        raise EchosynthError(f"{PROCESSES} = {text}, but this machine has {cards} GPUs; ask for no more than that")
    return int(text)


def join() -> None:
    """Meet the other processes, where there are some, with a time limit that no work reaches: one of them may train an
    autoencoder, wait for another experiment or have more left to do after a kill."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState  # takes a second

        PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30))


def shared(module: str, arguments: Sequence[str]) -> int | None:
    """Start `python -m module arguments` once in each of several processes and wait for them.

    Returns:
        Their exit status, or None where this process is to do the work: one is enough, or it is one of several itself.
    """
    count = 1 if "RANK" in os.environ else wanted_processes()
    if count == 1:
        return None
    command = [sys.executable, "-m", "torch.distributed.run", *ON_THIS_MACHINE, "--nproc-per-node", str(count)]
    # A second guard beside RANK: processes that start processes would never end.
    environment = os.environ | {PROCESSES: "1"}
    return subprocess.run([*command, "-m", module, *arguments], env=environment, check=False).returncode
