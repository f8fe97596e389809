"""Both budgets on the page: numbers side by side, and an answer that follows from them."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from echosynth.config.parameters import Params
from echosynth.report.thesis import budgets
from echosynth.report.thesis.budgets import Compared, budgets_figures, sections, verdict
from echosynth.report.thesis.inputs import PUBLISHED

LENGTHS = {"steps": 160, "epochs": 5}


def effect(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "interval": [low, high]}


HELPS, COSTS, OPEN = effect(0.2, 0.1, 0.3), effect(-0.2, -0.3, -0.1), effect(0.01, -0.1, 0.1)


def cells(steps: tuple[int, int], images: int) -> dict[str, Any]:
    scores = {"macro_auprc": 0.8, "macro_f1": 0.7, "interval": {"macro_auprc": [0.7, 0.9]}}
    made = {"arm": "synthetic", "steps": steps[1], "images": 2000}
    return {"real": {"arm": "real", "steps": steps[0], "images": images} | scores, "synthetic": made | scores}


def compared(images: int, steps: dict[str, Any], epochs: dict[str, Any], change: dict[str, Any]) -> Compared:
    found = {"steps": steps, "epochs": epochs, "change": change}
    by_budget = {"steps": cells((160, 160), images), "epochs": cells((20, 315), images)}
    return Compared(images, by_budget, {"macro_auprc": found, "macro_f1": found})


def test_the_answer_follows_from_the_intervals() -> None:
    both = [compared(100, OPEN, HELPS, HELPS), compared(2855, OPEN, OPEN, OPEN)]
    whole, small, large = verdict(both, LENGTHS)
    assert whole == (
        "What synthetic images add depends on the budget at 100 real images; whether it depends on the budget is open "
        "at 2,855 real images. Whether they help is answered differently at 100 real images."
    )
    assert "under equal steps (160) +0.010 (−0.100 to +0.100): it is open" in small
    assert "under equal epochs (5), 20 steps against 315 +0.200 (+0.100 to +0.300): synthetic images help" in small
    assert small.endswith("epochs less steps +0.200 (+0.100 to +0.300).") and large.startswith("2,855 real images")


@pytest.mark.parametrize(
    ("steps", "epochs", "change", "said"),
    [
        (HELPS, HELPS, HELPS, ("depends on the budget at 100", "answered alike by both")),
        (COSTS, HELPS, HELPS, ("depends on the budget at 100", "answered differently at 100")),
        (OPEN, OPEN, OPEN, ("whether it depends on the budget is open at 100", "answered alike by both")),
        (effect(0.2, None, None),) * 3 + (("open at 100", "answered alike"),),
    ],
)
def test_every_answer_has_its_words(
    steps: dict[str, Any], epochs: dict[str, Any], change: dict[str, Any], said: tuple[str, str]
) -> None:
    whole, one = verdict([compared(100, steps, epochs, change)], LENGTHS)
    assert all(words in whole for words in said)
    assert ("no interval" in one) == (change["interval"] == [None, None])


def test_sets_stand_side_by_side_with_the_thesiss(monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    main, other = cells((160, 160), 100), cells((20, 315), 100)
    other["real"]["macro_auprc"] = 0.3
    found = {"steps": OPEN, "epochs": HELPS, "change": HELPS}
    monkeypatch.setattr(budgets, "read_effects", lambda *_: {"macro_auprc": found, "macro_f1": found})
    thesis: Any = SimpleNamespace(
        params=params,
        compared=lambda question: {"100": {"cells": list(other.values())}} if question == "budgets" else {},
        main=SimpleNamespace(
            sizes={"100": 100, "all": 2855},
            architecture="resnet18",
            intervals_over="patients",
            cell=lambda subset, arm: main[arm],
        ),
        published=pd.read_csv(PUBLISHED),
    )
    [section] = sections(thesis)
    levels, differences = section.tables
    steps, theirs = ["160", "40.0", "0.800", "0.700"], ["1k", "0.778", "0.651"]  # 4 steps show 100 images once
    assert levels.rows[0] == ["100", "real", *steps, "20", "5.0", "0.300", "0.700", *theirs]
    assert levels.rows[1][6:8] == ["315", "5.0"]
    assert levels.header[2] == "equal steps (160): steps" and levels.header[6] == "equal epochs (5): steps"
    assert differences.rows[0][-1] == "+0.126"  # 0.9046 less 0.7784
    assert {len(row) for row in levels.rows} == {len(levels.header)}
    assert {len(row) for row in differences.rows} == {len(differences.header)}
    assert len(section.figures) == 3 and section.anchor == "training-budget"
    thesis.compared = lambda question: {"60": {"cells": list(other.values())}}  # left from other parameters
    assert not sections(thesis)


def test_one_arm_alone_is_drawn_and_said() -> None:
    alone = Compared(100, {"steps": {"real": cells((160, 160), 100)["real"]}, "epochs": {}}, None)
    assert all(each.address.startswith("data:image/png") for each in budgets_figures([alone], LENGTHS, "patients"))
    assert verdict([alone], LENGTHS) == [
        "Real and synthetic images were not both trained on (arms.real, arms.synthetic)."
    ]
