"""The complete state of a training: saved whole, put back to the same bits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from accelerate import Accelerator

from echosynth.common.resume import ResumeState
from echosynth.diffusion.ema import EMA
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.optimisation import CurvePoint, part_of, restore_training, training_tensors
from echosynth.diffusion.snapshots import Snapshot
from echosynth.diffusion.timesteps import TimestepSampler


@dataclass
class Progress:
    """What has happened so far.

    Attributes:
        step: optimisation steps done.
        curve: points of the curve.
        losses: of the steps since the last point.
        snapshots: taken so far.
    """

    step: int = 0
    curve: list[CurvePoint] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)


@dataclass
class Checkpoint:
    """All that a training changes, by reference; the random draws depend on the step alone.

    Attributes:
        state: where it is kept.
        accelerator: its gradient scaler (fp16) is part of the state.
        network: the bare network.
        averages: of its weights.
        optimizer: AdamW.
        times: sampler of the steps t.
    """

    state: ResumeState
    accelerator: Accelerator
    network: ViewDenoiser
    averages: Sequence[EMA]
    optimizer: torch.optim.AdamW
    times: TimestepSampler

    def save(self, progress: Progress) -> None:
        """Write everything, from the main process; the others go on when it is done."""
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            facts = asdict(progress) | {"scaler": scaler.state_dict() if scaler else {}}
            self.state.save(self._tensors(), facts)
        self.accelerator.wait_for_everyone()

    def load(self) -> Progress:
        """Put the last saved state back, if there is one."""
        saved = self.state.load()
        if saved is None:
            return Progress()
        tensors, facts = saved
        self._restore(tensors)
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(cast(dict[str, Any], facts["scaler"]))
        done = cast(dict[str, Any], {name: facts[name] for name in ("step", "curve", "losses", "snapshots")})
        done["snapshots"] = [Snapshot(**row) for row in done["snapshots"]]
        for average in self.averages:
            average.updates = done["step"]
        return Progress(**done)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Name weights, averages, moments and the sampler's history."""
        tensors = training_tensors(self.network, self.optimizer)
        for index, average in enumerate(self.averages):
            tensors |= {f"ema{index}.{name}": tensor for name, tensor in average.weights.items()}
        return tensors | {f"times.{name}": tensor for name, tensor in self.times.state().items()}

    def _restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what `_tensors` took."""
        restore_training(tensors, self.network, self.optimizer)
        for index, average in enumerate(self.averages):
            for name, value in part_of(tensors, f"ema{index}.").items():
                average.weights[name].copy_(value)
        self.times.load(part_of(tensors, "times."))
