"""Losses between snapshots, against the losses of the single steps."""

import numpy as np
import pandas as pd
import pytest

from echosynth.explorations.losses import losses_between

STEPS = np.random.default_rng(0).random(30) + 1  # the loss of each step


def curve(every: int, validations: dict[int, float] | None = None) -> pd.DataFrame:
    """Points of so many steps, the last one at the end."""
    ends = sorted({*range(every, len(STEPS), every), len(STEPS)})
    means = [STEPS[begin:end].mean() for begin, end in zip([0, *ends], ends, strict=False)]
    rows = pd.DataFrame({"step": [float(end) for end in ends], "loss": means})
    return rows if validations is None else rows.assign(validation_loss=rows["step"].map(validations))


@pytest.mark.parametrize(("first", "last"), [(0, 12), (12, 18), (0, 30)])
def test_the_mean_of_the_steps(first: int, last: int) -> None:
    assert losses_between(curve(6), first, last)["loss"] == pytest.approx(STEPS[first:last].mean())


def test_a_point_across_a_snapshot_counts_with_its_share() -> None:
    points = curve(6)["loss"]
    assert losses_between(curve(6), 4, 15)["loss"] == pytest.approx(
        (2 * points[0] + 6 * points[1] + 3 * points[2]) / 11
    )
    assert losses_between(curve(40), 10, 20)["loss"] == pytest.approx(STEPS.mean())


def test_the_validation_loss_is_that_of_the_snapshots_step() -> None:
    validated = curve(6, {12: 0.5, 30: 0.25})
    assert [losses_between(validated, 0, step)["validation_loss"] for step in (12, 18, 30)] == [0.5, None, 0.25]
    assert losses_between(curve(6), 0, 12)["validation_loss"] is None
