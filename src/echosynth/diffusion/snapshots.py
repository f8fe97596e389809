"""Snapshots along a training: weights, a grid of samples, a distance to real images, and which one is best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from echosynth.common.files import atomic_file
from echosynth.common.views import VIEWS
from echosynth.common.weights import read_weights, save_weights
from echosynth.diffusion.batches import Examples
from echosynth.diffusion.ema import EMA
from echosynth.diffusion.model import DiffusionModel, Space, assembled
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams, SolverParams
from echosynth.diffusion.sampling import sample_images
from echosynth.imagesets.store import Images, encode
from echosynth.imagesets.tiles import contact_grid

COMPARED_BY = SolverParams.plain("unipc", 8)  # the same for all snapshots, quick beside the training
SHOWN = 8  # pictures of each view in a grid
Score = Callable[[Images], float]


@dataclass(frozen=True)
class Snapshot:
    """One average of the weights at one step.

    Attributes:
        step: optimisation steps before it.
        ema_decay: of the average.
        kernel: kernel distance of its samples to the validation images; None where none was asked for.
    """

    step: int
    ema_decay: float
    kernel: float | None

    @property
    def weights(self) -> str:
        """File of the weights while the training goes on."""
        return f"step-{self.step:07d}-ema-{self.ema_decay}.safetensors"

    @property
    def weights_kept(self) -> str:
        """File of the weights in the model's folder, which holds one average."""
        return f"step-{self.step:07d}.safetensors"

    @property
    def grid(self) -> str:
        """File of the grid of samples: a row a view."""
        return f"step-{self.step:07d}.png"


def snapshot_steps(params: DiffusionParams) -> list[int]:
    """Choose the steps after which a snapshot is taken, evenly spaced, the last one at the end."""
    count = min(params.snapshots, params.steps)
    return [round(params.steps * (index + 1) / count) for index in range(count)]


def best(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Choose the one with the smallest distance; where none was measured, the last step's slowest average."""
    if any(snapshot.kernel is None for snapshot in snapshots):
        return max(snapshots, key=lambda snapshot: (snapshot.step, snapshot.ema_decay))
    return min(snapshots, key=lambda snapshot: snapshot.kernel or 0.0)


def exhausted(snapshots: Sequence[Snapshot], patience: int) -> bool:
    """Tell whether the last `patience` snapshots (all averages of a step count as one) brought no smaller distance."""
    steps = sorted({snapshot.step for snapshot in snapshots})
    return 0 < patience < len(steps) and best(snapshots).step <= steps[-patience - 1]


class Snapshots:
    """Takes snapshots into a folder that outlives a kill.

    Args:
        folder: where weights and grids are written.
        params: of the training.
        size: side of the images in pixels.
        space: from codes to pixels.
        sources: number of source tokens.
        data: the training images: they say which views and sources can be asked for.
        like: held-out images; samples are compared in their mixture of views and sources.
        score: distance of images (N, S, S) uint8 to real ones; None: nothing is compared.
    """

    def __init__(
        self,
        folder: Path,
        params: DiffusionParams,
        size: int,
        space: Space,
        sources: int,
        data: Examples,
        like: Examples,
        score: Score | None,
    ) -> None:
        self.folder, self.params, self.score = folder, params, score if params.snapshot_images else None
        self._size, self._space, self._sources = size, space, sources
        self._network: ViewDenoiser | None = None
        rows = np.random.default_rng(params.seed).permutation(len(like))
        rows = np.resize(rows, params.snapshot_images)
        self._scored = like.views[rows], like.sources[rows]
        self._shown = _grid_tokens(data)

    def take(self, step: int, averages: Sequence[EMA], device: torch.device) -> list[Snapshot]:
        """Write the averages' weights and a grid of samples of the slowest one, and measure each."""
        self.folder.mkdir(parents=True, exist_ok=True)
        taken = []
        for average in sorted(averages, key=lambda average: average.decay):
            model = self._model(average, device)
            distance = self.score(self._sampled(model, *self._scored)) if self.score else None
            taken.append(Snapshot(step, average.decay, distance))
            with atomic_file(self.folder / taken[-1].weights) as part:
                save_weights(average.weights, part)
        pictures = self._sampled(model, *self._shown)
        with atomic_file(self.folder / taken[-1].grid) as part:
            part.write_bytes(encode(contact_grid(pictures, SHOWN)))
        return taken

    def weights(self, snapshot: Snapshot) -> dict[str, torch.Tensor]:
        """Read a snapshot back.

        Raises:
            EchosynthError: its file is gone or torn.
        """
        return read_weights(self.folder / snapshot.weights)

    def _model(self, average: EMA, device: torch.device) -> DiffusionModel:
        if self._network is None:
            with torch.random.fork_rng(devices=[]):
                self._network = ViewDenoiser(self.params, self._size, self._sources).eval().to(device)
        self._network.load_state_dict(average.weights)
        return assembled(self._network, self._space, self.params, self._size)

    def _sampled(self, model: DiffusionModel, views: torch.Tensor, sources: torch.Tensor) -> Images:
        """Sample pictures (N, S, S) uint8: the same noise at every snapshot, so that only the weights differ."""
        return sample_images(model, views, sources, self.params.seed, COMPARED_BY, self.params.precision)


def _grid_tokens(data: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose views and sources of a grid: `SHOWN` of each view that there is, in the source that has most of it."""
    views = [view for view in range(len(VIEWS)) if (data.views == view).any()]
    sources = [int(data.sources[data.views == view].bincount().argmax()) for view in views]
    return torch.tensor(views).repeat_interleave(SHOWN), torch.tensor(sources).repeat_interleave(SHOWN)
