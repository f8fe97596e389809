"""Training of the diffusion model: one loop, on one device or several processes, resumable with the same result."""

import math
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list

from echosynth.common.errors import EchosynthError
from echosynth.common.progress import progress
from echosynth.common.resume import ResumeState
from echosynth.compute.device import mixed_seed, pick_device, resolved, step_generator, to_tensor
from echosynth.compute.threads import ThreadKeeper
from echosynth.diffusion.batches import Batch, Examples, draw_batch
from echosynth.diffusion.checkpoint import Checkpoint
from echosynth.diffusion.ema import EMA
from echosynth.diffusion.model import Space, assembled
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.optimisation import CurvePoint, warmed_cosine
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.process import Process
from echosynth.diffusion.snapshots import Score, Snapshot, Snapshots, best, exhausted, snapshot_steps
from echosynth.diffusion.timesteps import TIMESTEP_SAMPLERS

EVALUATION_BATCH = 128
QUARTERS = 4
POINTS_A_VALIDATION = 5  # held-out losses cost more than a step


@dataclass
class Trained:
    """What a training leaves behind.

    Attributes:
        weights: averaged (EMA) weights of the chosen snapshot.
        chosen: which that is.
        curve: one point for each `log_every` steps: step, loss, learning_rate, and now and then validation_loss, as a
            whole and by quarter of t.
        snapshots: all of them, in order.
        parameters: how many numbers the network has.
        images_per_second: throughput of this process, kept out of tracked files.
    """

    weights: dict[str, torch.Tensor]
    chosen: Snapshot
    curve: list[CurvePoint]
    snapshots: list[Snapshot]
    parameters: int
    images_per_second: float = 0.0


@dataclass(frozen=True)
class Watchers:
    """Who is told as a training goes.

    Attributes:
        score: images (N, S, S) uint8 -> distance to the validation images, by which snapshots are compared.
        on_point: called with each point of the curve as it is made.
        on_snapshot: called with the snapshots of a step, one an average, and the picture of its grid of samples.
        on_autoencoder: called with each point of the curve of the autoencoder, where there is one, before all others.
    """

    score: Score | None = None
    on_point: Callable[[CurvePoint], None] = lambda point: None
    on_snapshot: Callable[[list[Snapshot], Path], None] = lambda taken, grid: None
    on_autoencoder: Callable[[CurvePoint], None] = lambda point: None


SILENT = Watchers()


def learning_rate(params: DiffusionParams, step: int) -> float:
    """Compute the learning rate: a linear warm-up, then constant or a cosine down to 0 at the last step."""
    if params.decay == "constant" and step >= params.warmup_steps:
        return params.learning_rate
    return warmed_cosine(params.learning_rate, step, params.steps, params.warmup_steps)


@torch.no_grad()
def evaluation_loss(
    network: torch.nn.Module,
    process: Process,
    params: DiffusionParams,
    space: Space,
    data: Examples,
    shape: tuple[int, ...],
) -> CurvePoint:
    """Compute the mean loss on some images with the same noise and steps at each call, so that networks and the points
    of a curve can be compared.

    Returns:
        `loss`, and `loss_q1` to `loss_q4` by quarter of t, those left out that have no image.
    """
    device, generator = next(network.parameters()).device, step_generator(params.seed, 2)
    # Evenly over t, so that no quarter is empty.
    t = (torch.arange(len(data)) * process.timesteps // len(data))[torch.randperm(len(data), generator=generator)]
    noise = torch.randn(len(data), *shape, generator=generator)
    network.eval()
    parts = []
    for rows in torch.arange(len(data)).split(EVALUATION_BATCH):
        x0 = space.encode(to_tensor(data.images[rows.numpy()]).to(device))
        condition = data.views[rows].to(device), data.sources[rows].to(device)
        parts.append(process.training_losses(network, x0, condition, t[rows].to(device), noise[rows].to(device)).cpu())
    network.train()
    losses, quarter = torch.cat(parts), t * QUARTERS // process.timesteps
    quarters = {
        f"loss_q{number + 1}": losses[quarter == number].mean().item()
        for number in range(QUARTERS)
        if (quarter == number).any()
    }
    return {"loss": losses.mean().item()} | quarters


def _accelerator(params: DiffusionParams) -> Accelerator:
    """Make Accelerate's view of the device and of the processes that take part."""
    device = pick_device()
    # Accelerate keeps one precision for a whole process; several trainings in one may differ in it.
    AcceleratorState._reset_state()
    return Accelerator(cpu=device.type == "cpu", mixed_precision=resolved(device, params.precision))


def _finite(losses: torch.Tensor, first: int, params: DiffusionParams) -> list[float]:
    """Turn losses (N,) of the steps from `first` on into numbers.

    Raises:
        EchosynthError: one of them is not finite.
    """
    values: list[float] = losses.tolist()
    for step, value in enumerate(values, start=first):
        if not math.isfinite(value):
            raise EchosynthError(
                f"the diffusion loss is {value} at step {step}: lower diffusion.learning_rate "
                f"({params.learning_rate}) or diffusion.gradient_clip ({params.gradient_clip}), or set "
                f"diffusion.precision ({params.precision}) to fp32"
            )
    return values


class Trainer:
    """A training, from its first step or from where it stopped.

    Started by `accelerate launch` or torchrun, each process computes its share of every batch, and the gradients are
    averaged.

    Args:
        params: section `diffusion` of the parameters.
        data: the training images.
        held_out: held-out images, for the loss curve and for the mixture in which snapshots are compared; the result
            depends on them through the choice of the snapshot alone.
        sources: number of source tokens.
        space: what is diffused in place of pixels.
        state: where the run is saved and found again; the caller clears it once the result is written.
        watchers: who is told.
        name: what its progress is shown under.

    Raises:
        EchosynthError: the precision is not to be had, the batch cannot be shared among the processes, or the images
            do not fit the network.
    """

    def __init__(
        self,
        params: DiffusionParams,
        data: Examples,
        held_out: Examples,
        sources: int,
        space: Space,
        state: ResumeState,
        watchers: Watchers = SILENT,
        name: str = "diffusion",
    ) -> None:
        self.name = name
        self.params, self.data, self.held_out, self.space, self.watchers = params, data, held_out, space, watchers
        self.accelerator = _accelerator(params)
        self.device, size = self.accelerator.device, int(data.images.shape[-1])
        self.rows = _rows(params.batch_size, self.accelerator)

        torch.manual_seed(mixed_seed(params.seed, 0))
        self.network = ViewDenoiser(params, size, sources).to(self.device).train()
        if self.device.type == "cuda":
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averages = [EMA(self.network, decay, params.ema_warmup) for decay in params.ema_decays]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True
        )
        model = assembled(self.network, space, params, size)
        self.process, self.shape = model.process, model.shape
        self.times = TIMESTEP_SAMPLERS[params.timestep_sampling](self.process)
        compiled = params.compile and self.device.type == "cuda"
        self.model, self.stepper = self.accelerator.prepare(
            torch.compile(self.network) if compiled else self.network, self.optimizer
        )
        folder = state.folder / "snapshots"
        self.snapshots = Snapshots(folder, params, size, space, sources, data, held_out, watchers.score)
        self.checkpoint = Checkpoint(state, self.accelerator, self.network, self.averages, self.optimizer, self.times)
        self.now = self.checkpoint.load()

    def run(self) -> Trained:
        """Train to the end, or until snapshots no longer improve; beside other work with one thread.

        Raises:
            EchosynthError: the loss is not finite, or the disk is full.
        """
        params, now, main = self.params, self.now, self.accelerator.is_main_process
        if now.step and main:
            print(f"{self.name}: training goes on at step {now.step} of {params.steps}", file=sys.stderr)
        first, began, due = now.step, time.monotonic(), snapshot_steps(params)
        steps = range(first, params.steps)
        if exhausted(now.snapshots, params.patience):
            steps = range(0)
        what = f"{self.name} training"
        bar = progress(steps, params.steps, what, "steps", first, params.batch_size) if main else steps
        pending: list[torch.Tensor] = []
        alone = self.device.type == "cpu" and self.accelerator.num_processes == 1
        with closing(ThreadKeeper(alone)) as threads:
            for step in bar:
                with threads.step(partial(self._backward, step)):
                    pending.append(self._step(step))
                now.step = done = step + 1
                point = done % params.log_every == 0 or done == params.steps
                save = done % params.checkpoint_every == 0
                # Reading a loss waits for the GPU, so there it is done now and then only.
                if point or save or done in due or self.device.type == "cpu":
                    now.losses += _finite(self._mean(pending), done - len(pending), params)
                    pending = []
                if point:
                    self._point(done)
                if done in due:
                    self._snapshot(done)
                if save or done in due:
                    self.checkpoint.save(now)
                if exhausted(now.snapshots, params.patience):
                    break
        seconds = time.monotonic() - began
        chosen = best(now.snapshots)
        weights = self.snapshots.weights(chosen)
        self.accelerator.wait_for_everyone()  # once the main process has written the result, the snapshots are gone
        return Trained(
            weights=weights,
            chosen=chosen,
            curve=now.curve,
            snapshots=now.snapshots,
            parameters=sum(parameter.numel() for parameter in self.network.parameters()),
            images_per_second=(now.step - first) * params.batch_size / max(seconds, 1e-9),
        )

    def _step(self, step: int) -> torch.Tensor:
        """Do one optimisation step; returns the loss of this process's share."""
        params, accelerator = self.params, self.accelerator
        batch, losses, loss = self._backward(step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(params, step)
        accelerator.clip_grad_norm_(self.network.parameters(), params.gradient_clip)
        self.stepper.step()
        for average in self.averages:
            average.update(self.network)
        if params.timestep_sampling == "loss-second-moment":  # gathering makes a GPU wait
            self.times.update(accelerator.gather(batch.t).cpu(), accelerator.gather(losses).cpu())
        return loss

    def _backward(self, step: int) -> tuple[Batch, torch.Tensor, torch.Tensor]:
        """Compute the gradients of a step, and change nothing else; returns its batch, losses (B,) and loss."""
        params = self.params
        torch.manual_seed(mixed_seed(params.seed, 3, step, self.accelerator.process_index))  # dropout
        batch = draw_batch(
            params, self.data, self.shape, self.network.null_source, self.times, step, self.rows, self.device
        )
        with torch.no_grad():
            x0 = self.space.encode(batch.x0)
        condition = (batch.views, batch.sources, *([batch.amounts] if params.augment_told else []))
        losses = self.process.training_losses(self.model, x0, condition, batch.t, batch.noise)
        loss = (losses * batch.weights).mean()
        self.stepper.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        return batch, losses.detach(), loss.detach()

    def _mean(self, losses: list[torch.Tensor]) -> torch.Tensor:
        """Average losses (N,) of some steps over all processes."""
        mean: torch.Tensor = self.accelerator.reduce(torch.stack(losses), "mean")
        return mean.cpu()

    def _point(self, done: int) -> None:
        """Add a point to the curve."""
        params, now = self.params, self.now
        point: CurvePoint = {
            "step": float(done),
            "loss": sum(now.losses) / len(now.losses),
            "learning_rate": learning_rate(params, done - 1),
        }
        if done % (POINTS_A_VALIDATION * params.log_every) == 0 or done == params.steps:
            losses = evaluation_loss(self.model, self.process, params, self.space, self.held_out, self.shape)
            point |= {f"validation_{name}": value for name, value in losses.items()}
        now.losses = []
        now.curve.append(point)
        self.watchers.on_point(point)

    def _snapshot(self, done: int) -> None:
        """Take a snapshot in the main process; the others learn what it found, since they stop together."""
        taken: list[Snapshot] = []
        if self.accelerator.is_main_process:
            taken = self.snapshots.take(done, self.averages, self.device)
            self.watchers.on_snapshot(taken, self.snapshots.folder / taken[-1].grid)
        self.now.snapshots += broadcast_object_list([taken])[0]


def _rows(batch_size: int, accelerator: Accelerator) -> slice:
    """Choose this process's rows of a batch."""
    if batch_size % accelerator.num_processes:
        raise EchosynthError(
            f"diffusion.batch_size = {batch_size} cannot be shared equally by {accelerator.num_processes} processes; "
            "make it a multiple of that"
        )
    share = batch_size // accelerator.num_processes
    return slice(share * accelerator.process_index, share * (accelerator.process_index + 1))
