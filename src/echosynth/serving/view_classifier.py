"""From frames of any size to view probabilities: the path that the command line and the served model share."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echosynth.classifier.network import load, predict
from echosynth.compute.device import pick_device
from echosynth.imagesets.prepare import prepare


class ViewClassifier:
    """A trained classifier with its preprocessing.

    Args:
        folder: holds model.safetensors and card.json.

    Raises:
        EchosynthError: see `echosynth.classifier.network.load`.
    """

    def __init__(self, folder: Path | str) -> None:
        self.network, self.card = load(folder, pick_device())

    def prepared(
        self, frames: Iterable[npt.NDArray[np.uint8]], spacing: tuple[float, float] | None = None
    ) -> npt.NDArray[np.uint8]:
        """What the network sees, (N, S, S) uint8.

        Args:
            frames: 1 or more, each (H, W) grey or (H, W, 3) RGB uint8, of any size. Each is taken when the one before
                is done with, so that a reader that decodes one at a time keeps one in memory.
            spacing: size (x, y) of a pixel in mm, where it is known.
        """
        card = self.card
        return np.stack([prepare(frame, card.size, spacing, card.resampling, card.square_pixels) for frame in frames])

    def probabilities(
        self, frames: Iterable[npt.NDArray[np.uint8]], spacing: tuple[float, float] | None = None
    ) -> npt.NDArray[np.float32]:
        """Probabilities of the views for each frame, (N, 4) float32 in the order of `echosynth.common.views.VIEWS`.

        Args:
            frames: see `prepared`.
            spacing: see `prepared`.
        """
        return predict(self.network, self.prepared(frames, spacing))
