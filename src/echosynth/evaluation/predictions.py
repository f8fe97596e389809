"""Stored predictions: a table with the probability of each view for each image."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS

DIGITS = 7  # about what float32 holds, so that the same probabilities are the same text


def write_probabilities(path: Path, ids: npt.NDArray[np.str_], probabilities: npt.NDArray[np.floating]) -> None:
    """Write a table of predictions.

    Args:
        path: a CSV file.
        ids: (N,) of the images.
        probabilities: (N, 4) in [0, 1], in the order of `echosynth.common.views.VIEWS`.
    """
    table = pd.DataFrame(np.round(probabilities, DIGITS), columns=list(VIEWS))
    table.insert(0, "id", ids)
    table.to_csv(path, index=False, lineterminator="\n")


def read_probabilities(path: Path, ids: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    """Read a table of predictions.

    Args:
        path: what `write_probabilities` wrote.
        ids: (N,) of the images that it has to be about, in this order.

    Returns:
        (N, 4), in the order of `echosynth.common.views.VIEWS`.

    Raises:
        EchosynthError: it is about other images.
    """
    table = pd.read_csv(path)
    if table["id"].tolist() != ids.tolist():
        raise EchosynthError(f"{path} is about other images than those of today's split; run `dvc repro`")
    return table[list(VIEWS)].to_numpy()
