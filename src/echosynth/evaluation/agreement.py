"""Whether images show the view that they are meant to show, as classifiers see it that were trained on real images
alone: what a distance between sets of features hardly sees."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.common.views import VIEWS
from echosynth.evaluation.scores import Ints, confusion, recalls


def view_agreement(probabilities: Sequence[npt.NDArray[Any]], labels: Ints) -> dict[str, Any]:
    """Compute how often the judges see the intended view.

    Like the inception score's classifier (Salimans et al. 2016), with views in place of ImageNet's classes and held-out
    real images as the yardstick: judges err on these too. Views count alike, however many images show each.

    Args:
        probabilities: of each judge, (N, 4), in the order of `VIEWS`.
        labels: (N,) intended views.

    Returns:
        images: N; macro: mean over the views of the share of images in which a judge sees the intended one, mean over
        the judges; macro_sd: standard deviation (n) over the judges; by_view: view -> mean share, None where no image
        is meant to show it.
    """
    ones = np.ones((1, len(labels)))
    shares = np.concatenate([recalls(confusion(labels, own.argmax(1).astype(np.int64), ones)) for own in probabilities])
    present = np.isin(np.arange(len(VIEWS)), labels)
    macro, by_view = shares[:, present].mean(1), shares.mean(0)
    return {
        "images": len(labels),
        "macro": float(macro.mean()),
        "macro_sd": float(macro.std()),
        "by_view": {view: float(by_view[index]) if present[index] else None for index, view in enumerate(VIEWS)},
    }
