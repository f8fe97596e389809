"""How a classifier wants its frames, without the classifier: what reads files needs no PyTorch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from echosynth.common.arrays import Image, Images
from echosynth.imagesets.options import Resampling
from echosynth.imagesets.prepare import prepare


@dataclass(frozen=True)
class Preprocessing:
    """See `echosynth.imagesets.prepare.prepare`.

    Attributes:
        size: side S of what the network sees, in pixels.
        resampling: from large to small.
        square: whether pixels are made square.
    """

    size: int
    resampling: Resampling
    square: bool

    def prepared(self, frames: Iterable[Image], spacing: tuple[float, float] | None = None) -> Images:
        """What the network sees, (N, S, S) uint8.

        Args:
            frames: 1 or more, each (H, W) grey or (H, W, 3) RGB uint8, of any size. Each is taken when the one before
                is done with, so that a reader that decodes one at a time keeps one in memory.
            spacing: size (x, y) of a pixel in mm, where it is known.
        """
        return np.stack([prepare(frame, self.size, spacing, self.resampling, self.square) for frame in frames])
