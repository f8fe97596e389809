"""Losses of a training between its snapshots."""

import numpy as np
import pandas as pd


def losses_between(curve: pd.DataFrame, first: int, last: int) -> dict[str, float | None]:
    """Give the losses that belong to what was trained from one step to another.

    Args:
        curve: of the training, with the columns step, loss and, where any was computed, validation_loss. A point's loss
            is the mean over the steps since the point before.
        first: steps done at the beginning, 0 or more.
        last: steps done at the end, above `first`, at most those of the last point.

    Returns:
        loss: mean over these steps; where a point reaches across an end of them, it counts with its share.
        validation_loss: that after step `last`; None where none was computed there.
    """
    ends = curve["step"].to_numpy(float)
    begins = np.concatenate([[0.0], ends[:-1]])
    inside = np.clip(np.minimum(ends, last) - np.maximum(begins, first), 0, None)
    held_out = curve.loc[curve["step"] == last, "validation_loss"] if "validation_loss" in curve else pd.Series()
    found = held_out.dropna().to_list()
    return {
        "loss": float(np.average(curve["loss"], weights=inside)),
        "validation_loss": float(found[0]) if found else None,
    }
