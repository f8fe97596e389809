"""Batches of a training: each is drawn from (seed, step) alone, so that nothing random has to be saved to resume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from echosynth.common.errors import EchosynthError
from echosynth.compute.device import step_generator, to_tensor
from echosynth.diffusion.network import NULL_VIEW
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.timesteps import TimestepSampler
from echosynth.imagesets.augment import changed, draws
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.store import Images


@dataclass(frozen=True)
class Examples:
    """Images with the tokens that the network is told.

    Attributes:
        images: (N, S, S) uint8.
        views: (N,) int64, index of the view.
        sources: (N,) int64, index of the source.
    """

    images: Images
    views: torch.Tensor
    sources: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)


def known_examples(labelled: LabelledImages, sources: Sequence[str]) -> Examples:
    """Keep those of some labelled images whose source is known.

    Args:
        labelled: real images.
        sources: names of the source tokens; empty: the network is not told any, and every image counts.

    Raises:
        EchosynthError: none is left.
    """
    index = {name: number for number, name in enumerate(sources)}
    known = np.array([not index or name in index for name in labelled.sources], bool)
    if not known.any():
        raise EchosynthError("there is no image of the sources that the model knows; run `dvc repro` to split anew")
    tokens = [index.get(name, 0) for name in labelled.sources[known]]
    return Examples(labelled.images[known], torch.from_numpy(labelled.labels[known]), torch.tensor(tokens))


class Batch(NamedTuple):
    """One process's part of a step: images x0 (B, 1, S, S) in [-1, 1], tokens, steps t, weights of the loss (B,) and
    the noise (B, C, s, s), and how the images were changed (B, 5)."""

    x0: torch.Tensor
    views: torch.Tensor
    sources: torch.Tensor
    t: torch.Tensor
    weights: torch.Tensor
    noise: torch.Tensor
    amounts: torch.Tensor


def draw_batch(
    params: DiffusionParams,
    data: Examples,
    shape: tuple[int, int, int],
    null_source: int,
    times: TimestepSampler,
    step: int,
    rows: slice,
    device: torch.device,
) -> Batch:
    """Draw the batch of a step.

    All processes draw the whole batch and keep their rows, so that several train as one would.

    Args:
        params: batch size, dropout of the tokens, augmentation.
        data: the training images.
        shape: (C, s, s) of one image as the network sees it.
        null_source: the token that stands for "not told".
        times: how steps t are drawn.
        step: number of the optimisation step, from 0.
        rows: of this process.
        device: where to compute.
    """
    count, generator = params.batch_size, step_generator(params.seed, 1, step)
    pick = torch.randint(len(data), (count,), generator=generator)
    amounts = draws(count, generator) * params.augment
    # Each by itself and for each image: a view without a source and a source without a view are learned too.
    no_view = torch.rand(count, generator=generator) < params.view_dropout
    no_source = torch.rand(count, generator=generator) < params.source_dropout
    t, weights = times.draw(count, generator)
    noise = torch.randn(count, *shape, generator=generator)[rows]
    if params.augment_share < 1:
        amounts *= torch.rand(count, 1, generator=generator) < params.augment_share
    views = torch.where(no_view, NULL_VIEW, data.views[pick])[rows]
    sources = torch.where(no_source | (not params.source_conditioning), null_source, data.sources[pick])[rows]
    x0 = to_tensor(data.images[pick[rows].numpy()]).to(device)
    if params.augment:
        x0 = changed(x0, amounts[rows])
    parts = views, sources, t[rows], weights[rows], noise, amounts[rows]
    return Batch(x0, *(part.to(device) for part in parts))
