"""Ways to help rare views on the page: numbers of the comparison, in words that say what is known."""

import base64
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from echosynth.common.views import VIEWS
from echosynth.report.thesis import rebalancing
from echosynth.report.thesis.rebalancing import (
    EFFECTS,
    effects,
    effects_figure,
    effects_table,
    strategies_figure,
    strategies_table,
    verdict,
)
from echosynth.thesis.rebalancing import PARTS, STRATEGIES

SCORES = {"synthetic-few-real": 0.5, "synthetic-few-balanced": 0.52, "synthetic-many-real": 0.8}


def result(arms: list[str], intervals: bool = True) -> dict[str, Any]:
    """What a comparison says of these arms; synthetic-many-balanced has 0.8 as the others have."""
    values = {arm: SCORES.get(arm, 0.8) for arm in arms}
    cells, runs = [], []
    for arm, value in values.items():
        versus = {}
        for other, its in ((name, its) for name, its in values.items() if name != arm):
            known: list[float | None] = [value - its - 0.05, value - its + 0.05] if intervals else [None, None]
            for score in ("macro_auprc", "rare_recall"):
                versus.setdefault(other, {}).update({score: value - its, f"{score}_interval": known})
        cell = {"arm": arm, "subset": "100", "real_images": 100, "images": 900 if "many" in arm else 100}
        cell |= {"synthetic": 0, "macro_auprc": value, "macro_f1": 0.7, "recall": dict.fromkeys(VIEWS, 0.6)}
        if intervals:
            bounds = [value - 0.1, value + 0.1]
            cell["interval"] = {"macro_auprc": bounds, "recall": dict.fromkeys(VIEWS, bounds)}
        cells.append(cell | {"versus": versus})
        runs += [{"arm": arm, "macro_auprc": value + change} for change in (-0.01, 0.01)]
    return {"cells": cells, "runs": runs, "intervals_over": "patients and trainings"}


def test_each_effect_changes_one_thing() -> None:
    for words, (with_it, without) in EFFECTS.items():
        changed = {word for word in with_it.split("-") if word not in without.split("-")}
        assert changed == ({"many"} if words.startswith("more") else {"balanced"})
    found = {words: value for words, value, _ in effects(result(list(PARTS)))}
    assert list(found.values()) == pytest.approx([0.3, 0.28, 0.02, 0.0])


def test_the_verdict_says_what_is_open() -> None:
    said = verdict(result(list(PARTS)))
    assert "more images, in real proportions +0.300 (+0.250 to +0.350, higher)" in said
    assert "balance, of few images +0.020 (−0.030 to +0.070, open)" in said
    assert "too small" in verdict(result(["real", "synthetic-few-balanced"]))
    assert "+0.300 (no interval)" in verdict(result(list(PARTS), intervals=False))


def test_tables_hold_every_arm_in_order_with_the_number_of_the_thesis() -> None:
    table = strategies_table(result(list(reversed(STRATEGIES))), {"smote": "too few"})
    assert [row[0] for row in table.rows] == list(STRATEGIES)
    assert [row[-1] for row in table.rows if row[-1] != "–"] == ["0.64", "0.86", "0.93", "0.93"]
    assert "smote is left out: too few." in table.note
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert len(effects_table(result(list(PARTS))).rows) == 4


@pytest.mark.parametrize(("arms", "intervals"), [(list(STRATEGIES), True), (["real", "synthetic-few-balanced"], False)])
def test_figures_are_drawn_whatever_is_there(arms: list[str], intervals: bool) -> None:
    for draw in (strategies_figure, effects_figure):
        figure = draw(result(arms, intervals))
        assert base64.b64decode(figure.address.partition(",")[2])[:4] == b"\x89PNG"


def test_the_section_has_one_sentence_a_way_and_the_matrices_of_the_thesis(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = result(list(STRATEGIES))
    for cell in compared["cells"]:
        cell |= {"confusion": np.eye(4).tolist(), "confusion_normalised": np.eye(4).tolist()}
    monkeypatch.setattr(rebalancing, "read_left_out", lambda *_: {})
    [section] = rebalancing.sections(SimpleNamespace(compared=lambda question: {"100": compared}))  # type: ignore[arg-type]
    assert len(section.verdict) == 1 + 8  # number against balance; every way but arm real and the four parts
    assert [one.caption for one in section.matrices] == [
        "100 real images, real: 100 images",
        "100 real images, oversampled: 100 images",
        "100 real images, oversampled-to-synthetic: 100 images",
        "100 real images, synthetic: 100 images",
    ]
    assert not rebalancing.sections(SimpleNamespace(compared=lambda question: {}))  # type: ignore[arg-type]
