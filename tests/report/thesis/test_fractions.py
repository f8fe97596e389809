"""Figure 5.17 on the page."""

from types import SimpleNamespace
from typing import Any

import pytest

from echosynth.report.thesis import fractions
from echosynth.report.thesis.fractions import best, fractions_figure, fractions_table, pairs
from echosynth.thesis.fractions import TWICE


def result(real: int, scores: dict[str, float]) -> dict[str, Any]:
    """What a comparison says of these arms."""
    cells = []
    for arm, value in scores.items():
        images = 2 * real if arm == TWICE else real * (100 + int(arm.removeprefix("plus-"))) // 100
        versus = {
            other: {"macro_auprc": value - its, "macro_auprc_interval": [value - its - 0.1, value - its + 0.1]}
            for other, its in scores.items()
            if other != arm
        }
        cell = {"arm": arm, "real_images": real, "images": images, "synthetic": 0 if arm == TWICE else images - real}
        cells.append(cell | {"macro_auprc": value, "macro_f1": 0.5, "versus": versus})
    return {"cells": cells, "intervals_over": "patients"}


RESULTS = {
    "100": result(100, {"plus-100": 0.8, "plus-0": 0.7, "plus-40": 0.75, TWICE: 0.85}),
    "all": result(2000, {"plus-0": 0.9, "plus-70": 0.91}),
}


def test_rows_rise_and_what_is_missing_is_said() -> None:
    table = fractions_table(RESULTS, {"100": {}, "all": {"plus-100": "there are 500"}})
    shown = [row[:4] for row in table.rows]
    assert shown[:4] == [
        ["100", "0 %", "100", "0"],
        ["100", "40 %", "140", "40"],
        ["100", "100 %", "200", "100"],
        ["100", "twice the real images", "200", "0"],
    ]
    assert table.rows[1][5:7] == ["+0.050", "−0.050 to +0.150"]
    assert "all, plus-100 is left out: there are 500." in table.note


def test_pairs_are_of_equal_size() -> None:
    [(words, value, bounds)] = pairs(RESULTS)
    assert words == "100 real and as many synthetic images less 200 real ones"
    assert value == pytest.approx(-0.05)
    assert bounds == pytest.approx([-0.15, 0.05])


def test_the_best_is_one_of_the_fractions() -> None:
    assert best(RESULTS)["macro_auprc"] == 0.91
    only = {"100": RESULTS["100"]}
    assert best(only)["arm"] == "plus-100"


def test_the_figure_is_drawn_the_same_twice() -> None:
    assert fractions_figure(RESULTS) == fractions_figure(RESULTS)


def test_the_section_compares_equal_sizes_and_names_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fractions, "read_left_out", lambda *_: {})
    [section] = fractions.sections(SimpleNamespace(compared=lambda question: RESULTS))  # type: ignore[arg-type]
    assert len(section.verdict) == 1 + 2 + 1  # one pair, two subsets, the best
    assert "2,000 real images with 70 % synthetic ones (0.910)" in section.verdict[-1]
    assert not fractions.sections(SimpleNamespace(compared=lambda question: {}))  # type: ignore[arg-type]
