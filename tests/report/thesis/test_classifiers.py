"""Rows of pretrained networks on the page of the thesis."""

from types import SimpleNamespace
from typing import Any

import pandas as pd

from echosynth.report.thesis.classifiers import _frozen_rows
from echosynth.report.thesis.inputs import PUBLISHED


def test_frozen_networks_stand_beside_the_thesiss_and_fine_tuned_ones_alone() -> None:
    scores = {"macro_auprc": 0.9, "macro_f1": 0.8, "loss": 0.4, "real_images": 32000}
    cells = [{"arm": "real", "architecture": f"inception_v3 {way}", **scores} for way in ("frozen", "fine-tuned")]
    thesis: Any = SimpleNamespace(
        compared=lambda question: {"all": {"cells": cells}} if question == "frozen" else {},
        main=SimpleNamespace(sizes={"1000": 1000, "all": 32000}),
        published=pd.read_csv(PUBLISHED),
    )
    frozen, tuned = _frozen_rows(thesis, "5.3")
    ours = ["32,000", "inception_v3", "0.900", "0.800", "0.400"]
    assert frozen == ["real, frozen", *ours, "32k", "0.843", "0.787", "0.325", "36 min"]
    assert tuned == ["real, fine-tuned", *ours, *["–"] * 5]
