"""From frames of any size to view probabilities: the path that the command line and the served model share."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echosynth.classifier.network import load, predict
from echosynth.compute.device import pick_device
from echosynth.serving.preprocessing import Preprocessing


class ViewClassifier:
    """A trained classifier with its preprocessing.

    Args:
        folder: holds model.safetensors and card.json.

    Raises:
        EchosynthError: see `echosynth.classifier.network.load`.
    """

    def __init__(self, folder: Path | str) -> None:
        self.network, self.card = load(folder, pick_device())
        self.preprocessing = Preprocessing(self.card.size, self.card.resampling, self.card.square_pixels)

    def probabilities(
        self, frames: Iterable[npt.NDArray[np.uint8]], spacing: tuple[float, float] | None = None
    ) -> npt.NDArray[np.float32]:
        """Probabilities of the views for each frame, (N, 4) float32 in the order of `echosynth.common.views.VIEWS`.

        Args:
            frames: see `echosynth.serving.preprocessing.Preprocessing.prepared`.
            spacing: see there.
        """
        return predict(self.network, self.preprocessing.prepared(frames, spacing))
