"""Processes for tests, by the few options that matter to one."""

from functools import cache
from pathlib import Path
from typing import Any

from echosynth.config.parameters import load_params
from echosynth.diffusion.options import DiffusionParams, Loss, Prediction, Schedule, Variance
from echosynth.diffusion.process import Process

ROOT = Path(__file__).parents[2]


@cache
def _section() -> DiffusionParams:
    return load_params(ROOT / "params.yaml").diffusion


def make_process(
    schedule: Schedule,
    timesteps: int,
    prediction: Prediction,
    variance: Variance = "fixed-small",
    loss: Loss | None = None,
    **more: Any,
) -> Process:
    """The process of section `diffusion` of params.yaml with these options, trained by the simplest loss for its
    variance where none is named."""
    choices = {"schedule": schedule, "timesteps": timesteps, "prediction": prediction, "variance": variance}
    choices["loss"] = loss or ("hybrid" if variance == "learned" else "simple")
    choices["preconditioning"] = "none"
    return Process(DiffusionParams.model_validate(_section().model_dump() | choices | more))
