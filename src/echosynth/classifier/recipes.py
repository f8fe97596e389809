"""How a training treats rare views and shortcuts: what its batches hold, and how its loss weighs them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from echosynth.classifier.as_in_pytorch import cross_entropy
from echosynth.common.views import VIEWS
from echosynth.compute.device import step_generator, to_tensor
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.sector import sectors

Mixing = Literal["none", "mixup", "backmix"]
BLACK = -1.0  # of pixels in [-1, 1]


@dataclass(frozen=True)
class Recipe:
    """What a training does beside plain cross-entropy on plain batches, which is what it does by default.

    Attributes:
        class_weights: the loss weighs view k by n / (K n_k), for n images of K views, n_k of this one.
        balanced: every batch holds the views equally often (where it can be divided so), however rare they are.
        mixing: `none`; `mixup`: convex mixtures of two images of the batch and of their labels (Zhang et al. 2018, eq.
            1); `backmix`: what lies outside the sector of an image is taken from another image of the set (Bransby et
            al. 2024, BackMix).
        alpha: of mixup's Beta(alpha, alpha), above 0; the paper has 0.1 to 0.4 for ImageNet.
    """

    class_weights: bool = False
    balanced: bool = False
    mixing: Mixing = "none"
    alpha: float = 0.2


PLAIN = Recipe()


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> torch.Tensor:
    """Indices of the images of one step, always `batch_size` of them: each pass over the set takes every image once in
    a new random order, and where it ends within a step the next one begins there, so that no step is left with a
    rest of a few images."""
    return _in_passes(count, range(step * batch_size, (step + 1) * batch_size), seed, 1)


def _in_passes(count: int, positions: range, *seeds: int) -> torch.Tensor:
    """Indices below `count` at these positions of an endless row of passes, each in a random order of its own."""
    if not positions:
        return torch.empty(0, dtype=torch.int64)
    passes = range(positions[0] // count, positions[-1] // count + 1)
    orders = torch.cat([torch.randperm(count, generator=step_generator(*seeds, number)) for number in passes])
    return orders[torch.arange(positions[0], positions[-1] + 1) - passes.start * count]


def balanced_weights(labels: torch.Tensor) -> torch.Tensor:
    """Weigh the views (4,) so that each counts alike: n / (K n_k) for n images of K views, n_k of this one; 0 for a
    view without images."""
    counts = torch.bincount(labels, minlength=len(VIEWS))
    weights = len(labels) / (int((counts > 0).sum()) * counts.clamp(min=1).float())
    return torch.where(counts > 0, weights, 0.0)


class Batches:
    """The batches of a training and their loss, as its recipe has them; each depends on (seed, step) alone.

    Attributes:
        weights: (4,) of the views in the loss, or None.
    """

    def __init__(self, recipe: Recipe, data: LabelledImages, batch_size: int, seed: int) -> None:
        """Prepare a training on `data` with so many images a step."""
        self.recipe, self.batch_size, self.seed = recipe, batch_size, seed
        self.pixels, self.labels = to_tensor(data.images), torch.from_numpy(data.labels)
        self.weights = balanced_weights(self.labels) if recipe.class_weights else None
        self._views = [rows for k in range(len(VIEWS)) if len(rows := torch.nonzero(self.labels == k)[:, 0])]
        if recipe.mixing == "backmix":
            self._sectors = torch.from_numpy(sectors(data.images))[:, None]

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the batch of a step.

        Returns:
            Images (B, 1, S, S) float32 in [-1, 1], and labels (B,) int64, or with mixup probabilities of the views
            (B, 4) float32.
        """
        pick = self._balanced(step) if self.recipe.balanced else self._plain(step)
        if self.recipe.mixing == "mixup":
            return self._mixup(pick, step)
        x = self._backmix(pick, step) if self.recipe.mixing == "backmix" else self.pixels[pick]
        return x, self.labels[pick]

    def loss(self, output: torch.Tensor | tuple[torch.Tensor, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of a network's output for a batch with what `draw` returned, weighted if the recipe says
        so; see `echosynth.classifier.as_in_pytorch.cross_entropy`."""
        weights = None if self.weights is None else self.weights.to(targets.device)
        return cross_entropy(output, targets, weight=weights)

    def _plain(self, step: int) -> torch.Tensor:
        return batch_indices(len(self.pixels), self.batch_size, self.seed, step)

    def _balanced(self, step: int) -> torch.Tensor:
        """Indices of a batch in which the views take turns, each in passes over its own images."""
        begin, end, number = step * self.batch_size, (step + 1) * self.batch_size, len(self._views)
        turns = [range(-(-(begin - k) // number), -(-(end - k) // number)) for k in range(number)]
        taken = [
            rows[_in_passes(len(rows), turn, self.seed, 4, k)]
            for k, (rows, turn) in enumerate(zip(self._views, turns, strict=True))
        ]
        return torch.cat(taken)

    def _draws(self, step: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, 5, step))

    def _mixup(self, pick: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix each image of the batch, and its label, with one of the same batch, by a share of its own."""
        rng = self._draws(step)
        other = pick[torch.from_numpy(rng.permutation(len(pick)))]
        share = torch.from_numpy(rng.beta(self.recipe.alpha, self.recipe.alpha, len(pick))).float()
        known = F.one_hot(self.labels, len(VIEWS)).float()
        x = torch.lerp(self.pixels[other], self.pixels[pick], share.view(-1, 1, 1, 1))
        return x, torch.lerp(known[other], known[pick], share.view(-1, 1))

    def _backmix(self, pick: torch.Tensor, step: int) -> torch.Tensor:
        """Put behind each sector the background of an image drawn from the whole set, of whatever view; where that
        one's own sector would show, it is black.

        As in the authors' published settings every image is treated so. Their wBackMix weighs treated images by 1 +
        l (1 - f) and the others by 1 - l f, where masks are known for a share f alone: with f = 1, as here, it is
        BackMix itself.
        """
        donors = torch.from_numpy(self._draws(step).integers(len(self.pixels), size=len(pick)))
        background = self.pixels[donors].masked_fill(self._sectors[donors], BLACK)
        return torch.where(self._sectors[pick], self.pixels[pick], background)
