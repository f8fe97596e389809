"""Two ways to train a diffusion model on the same images: a plain PyTorch loop, and this project's in turns with it."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.flop_counter import FlopCounterMode

from bench.measurements import SEED, noise_images, view_labels
from echosynth.common.resume import ResumeState
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.compute.device import Precision, autocast, pick_device, to_tensor
from echosynth.diffusion.batches import Examples
from echosynth.diffusion.model import PixelSpace
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.process import Process
from echosynth.diffusion.train import Trainer, evaluation_loss

SOURCES = 3
Work = Callable[[], None]


def clock() -> float:
    """Seconds, when all that was asked of a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(work: Work, times: int = 1) -> float:
    """How long it takes to do `work` so often."""
    began = clock()
    for _ in range(times):
        work()
    return clock() - began


def noise_examples(count: int, size: int) -> Examples:
    """Noise of all views and sources: how long a step takes does not depend on what is pictured."""
    return Examples(noise_images(count, size), view_labels(count), torch.arange(count) % SOURCES)


def without_tf32(work: Work) -> Work:
    """`work` with convolutions in full float32, which PyTorch rounds to TF32 on a GPU unless it is told otherwise."""

    def run() -> None:
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False
        try:
            work()
        finally:
            torch.backends.cudnn.allow_tf32 = before

    return run


def bare(params: DiffusionParams) -> DiffusionParams:
    """These parameters without preconditioning: what is compared are loops around the same network."""
    loss = "simple" if params.loss == "edm" else params.loss
    # What is predicted makes no difference to the time, and the plain loop knows three.
    prediction = params.prediction if params.prediction in ("epsilon", "x0", "v") else "v"
    return params.model_copy(update={"preconditioning": "none", "loss": loss, "prediction": prediction})


class PlainTraining:
    """The loop that one writes without this project: images that lie on the device, MSE, AdamW.

    Args:
        params: section `diffusion` of the parameters, for images in pixel space.
        size: side of the images in pixels.
        precision: of the network.
        ema_decay: of one average of the weights; None: none.
        channels_last: memory format of the network.
        sdpa: fused attention of PyTorch, which diffusers takes unless it is told otherwise.
    """

    def __init__(
        self,
        params: DiffusionParams,
        size: int,
        precision: Precision,
        ema_decay: float | None = None,
        channels_last: bool = False,
        sdpa: bool = True,
    ) -> None:
        params = bare(params)
        self.params, self.precision, self.device = params, precision, pick_device()
        torch.manual_seed(SEED)
        self.network = ViewDenoiser(params, size, SOURCES).to(self.device).train()
        if channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not sdpa:
            _without_sdpa(self.network)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=params.learning_rate)
        self.average = (
            None if ema_decay is None else AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
        )
        data, process = noise_examples(4 * params.batch_size, size), Process(params)
        self.images = to_tensor(data.images).to(self.device)
        self.views, self.sources = data.views.to(self.device), data.sources.to(self.device)
        self.alpha, self.sigma = (
            torch.from_numpy(table).float().to(self.device) for table in (process.alpha, process.sigma)
        )

    def step(self) -> None:
        """One optimisation step. Of a learned variance nothing is learned."""
        count, device = self.params.batch_size, self.device
        pick = torch.randint(len(self.images), (count,), device=device)
        t = torch.randint(self.params.timesteps, (count,), device=device)
        x0, alpha, sigma = self.images[pick], self.alpha[t].view(-1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1)
        noise = torch.randn_like(x0)
        target = {"epsilon": noise, "x0": x0, "v": alpha * noise - sigma * x0}[self.params.prediction]
        with autocast(device, self.precision):
            output = self.network(alpha * x0 + sigma * noise, t, self.views[pick], self.sources[pick])
        loss = F.mse_loss(output[:, :1].float(), target)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.params.gradient_clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)

    @torch.inference_mode()
    def evaluate(self) -> None:
        """One evaluation of the network for sampling, on a batch; training is over then."""
        self.network.eval()
        rows = slice(0, self.params.batch_size)
        t = torch.zeros(self.params.batch_size, dtype=torch.int64, device=self.device)
        with autocast(self.device, self.precision):
            self.network(self.images[rows], t, self.views[rows], self.sources[rows])


def _without_sdpa(network: torch.nn.Module) -> None:
    """Attention by two matrix products and a softmax."""
    _torchvision.make_importable()
    from diffusers.models.attention_processor import Attention, AttnProcessor

    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())


def network_flops(params: DiffusionParams, size: int, training: bool) -> int:
    """Count the floating-point operations of the network for one image: an evaluation, or with `training` forwards and
    backwards. Only matrix products and convolutions count, a multiply-add as two. Nothing is computed for it."""
    with torch.device("meta"):
        network = ViewDenoiser(bare(params).model_copy(update={"gradient_checkpointing": False}), size, SOURCES)
        channels = 1 if params.space == "pixel" else params.autoencoder.latent_channels
        x, index = torch.empty(1, channels, size, size), torch.zeros(1, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
            output = network(x, index, index, index)
            if training:
                output.square().mean().backward()
    return counter.get_total_flops()


class _Enough(Exception):
    """All blocks are timed: what a training does at its end is not to be measured."""


class Turns(Trainer):
    """This project's training, which after each block of its steps lets others do as many of theirs, so that a busy
    moment of the machine hits all of them.

    Without snapshots, checkpoints and validation; else as it runs always.

    Args:
        params: section `diffusion` of the parameters, for images in pixel space.
        size: side of the images in pixels.
        block: steps of a block.
        rounds: blocks of each that are timed, after one that is not.
    """

    def __init__(self, params: DiffusionParams, size: int, block: int, rounds: int) -> None:
        steps = block * (rounds + 1) + 1
        update = {"steps": steps, "log_every": steps, "checkpoint_every": steps, "snapshots": 1, "snapshot_images": 0}
        data = noise_examples(4 * params.batch_size, size)
        held_out = Examples(data.images[:1], data.views[:1], data.sources[:1])
        state = ResumeState("bench", "never saved")
        super().__init__(bare(params).model_copy(update=update), data, held_out, SOURCES, PixelSpace(), state)
        self._block, self._began = block, 0.0
        self._others: Sequence[Work] = ()
        self._laps: list[list[float]] = []

    def measure(self, *others: Work) -> list[list[float]]:
        """Train, in turns with `others`, each of which does one step.

        Returns:
            Seconds of each block: this project's, then those of each other.
        """
        self._others, self._laps = others, [[] for _ in range(1 + len(others))]
        with suppress(_Enough):
            self.run()
        return [laps[1:] for laps in self._laps]

    def _step(self, step: int) -> torch.Tensor:
        if step % self._block == 0:
            if step:
                self._laps[0].append(clock() - self._began)
                for laps, other in zip(self._laps[1:], self._others, strict=True):
                    laps.append(seconds(other, self._block))
            if step + 1 == self.params.steps:
                raise _Enough
            self._began = clock()
        return super()._step(step)


class Timed(Trainer):
    """This project's training when it is given seconds in place of steps. Call `fit_steps`, then `run`."""

    def fit_steps(self, allowed: float, trial: int, points: int) -> None:
        """Do the first steps, in which a GPU's kernels are compiled and chosen, and set how many there are, so that all
        of them, these included, take about `allowed` seconds.

        Args:
            allowed: seconds; two trials and one step more are done in any case.
            trial: steps that are timed, after as many that are not.
            points: of the curve.
        """
        began = clock()
        evaluation_loss(self.model, self.process, self.params, self.space, self.held_out, self.shape)
        for step in range(trial):
            self._step(step)
        warm = clock()
        for step in range(trial, 2 * trial):
            self._step(step)
        now = clock()
        steps = 2 * trial + max(1, int((allowed - (now - began)) / (now - warm) * trial))
        update = {"steps": steps, "log_every": max(1, steps // points), "checkpoint_every": steps}
        self.params, self.now.step = self.params.model_copy(update=update), 2 * trial
