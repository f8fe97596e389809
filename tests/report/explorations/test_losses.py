"""What the page says of loss and distance, against ranks that are counted by hand."""

from itertools import pairwise
from typing import Any

import pytest

from echosynth.config.parameters import Params
from echosynth.report.explorations.inputs import Explorations
from echosynth.report.explorations.losses import GAP, rank_correlation, sentences, spread


def explorations(params: Params, losses: list[float], distances: list[float], **more: Any) -> Explorations:
    points = [
        {"step": 10 * n, "loss": loss, "validation_loss": None, "echo": {"frechet": far}} | more
        for n, (loss, far) in enumerate(zip(losses, distances, strict=True), start=1)
    ]
    return Explorations(params, {}, {}, {}, {"points": points}, {}, ["echo"])


def test_spearman_is_that_of_the_ranks() -> None:
    x, y = [9.0, 7.0, 3.0, 2.5, 1.0], [50.0, 20.0, 22.0, 11.0, 12.0]
    # Ranks of y are 5 3 4 1 2 where those of x are 5 4 3 2 1: 1 - 6 (0 + 1 + 1 + 1 + 1) / (5 * 24).
    assert rank_correlation(x, y) == pytest.approx(0.8)
    assert rank_correlation([None, *x], [0.0, *y]) == pytest.approx(0.8)


def test_two_points_or_equal_ones_have_none() -> None:
    assert rank_correlation([1.0, 2.0], [1.0, 2.0]) is None
    assert rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


def test_the_words_give_numbers_and_say_how_little_they_are(params: Params) -> None:
    words = sentences(explorations(params, [8, 7, 6, 5, 4, 3, 2, 1], [80, 70, 60, 50, 1, 2, 3, 4]))
    # d of ranks: 0 0 0 0, then 3 1 1 3: 1 - 6 * 20 / (8 * 63).
    assert "with all 8 snapshots, 0.76 on echo features; with the last 4, −1.00 on echo features" in words
    assert "the validation loss, known at 0, in place of the training loss, there is none" in words
    assert "8 points say little" in words
    assert "one order in 24 gives 1" in words


def test_few_snapshots_say_so(params: Params) -> None:
    assert "with all 2 snapshots, there is none (too few points" in sentences(explorations(params, [2, 1], [2, 1]))


@pytest.mark.parametrize("heights", [[0.5] * 8, [0.0, 0.01, 0.9, 0.99, 1.0], [0.2, 0.21, 0.7], [0.3], [1.0] * 30])
def test_names_of_points_are_apart_in_order_and_within_the_axis(heights: list[float]) -> None:
    found = spread(heights)
    gaps = [after - before for before, after in pairwise(found)]
    assert len(found) == len(heights)
    assert all(gap >= min(GAP, 1 / 29) - 1e-9 for gap in gaps)
    assert found[0] >= -1e-9 and found[-1] <= 1
    assert spread([0.1, 0.5, 0.9]) == [0.1, 0.5, 0.9]  # what is apart stays
