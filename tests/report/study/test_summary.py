"""Scores and tables for other tools, and the stage's outputs."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from echosynth.common import paths
from echosynth.common.files import read_json, write_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.report.study import tables
from echosynth.report.study.inputs import read_inputs
from echosynth.report.study.summary import summary
from echosynth.stages.report import build

ROOT = Path(__file__).parents[3]


def test_scores(tree: Path, params: Params, comparison: dict[str, Any]) -> None:
    scores = summary(read_inputs(params))
    cell = next(cell for cell in comparison["cells"] if (cell["arm"], cell["subset"]) == ("oversampled", "500"))
    assert scores["best"]["validation_macro_auprc"] == comparison["best"]["macro_auprc"]
    assert scores["test"]["macro_auprc"] == 0.913
    assert "recall_PSAX" not in scores["shift"]
    assert scores["auprc"]["oversampled_500"] == cell["macro_auprc"]
    assert scores["rare_recall"]["oversampled_500"] == pytest.approx(
        (cell["recall"]["A2C"] + cell["recall"]["PSAX"]) / 2
    )
    distances = scores["fid_echo"]
    assert {name: distances[name] for name in ("150", "500", "all")} == {"150": 41.25, "500": 32.25, "all": 23.25}
    assert distances["mixup_500"] == 30.25
    assert scores["view_agreement"]["real"] == 0.85
    assert scores["view_agreement"]["gaussian_500"] == pytest.approx(0.71)
    assert scores["near_copies"]["all"] == 0.023
    assert scores["kernel_echo"].keys() == distances.keys()
    assert scores["kernel_echo_floor"] == dict.fromkeys(("150", "500", "all"), -0.0004)
    assert "fid_inception" not in scores
    assert scores["fid_imagenet"]["mixup_500"] == 7 * 30.25


def test_scores_that_a_set_cannot_give_are_absent_with_the_reason_and_so_are_floors(tree: Path, params: Params) -> None:
    final = read_json(paths.FINAL_SCORES / "metrics.json")
    recall = dict.fromkeys(VIEWS) | {"A4C": 0.02}
    alone = dict.fromkeys(("macro_auprc", "macro_f1"), "images of A4C alone")
    none = {"macro_auprc": None, "macro_f1": None, "interval": {}, "auprc": dict.fromkeys(VIEWS)}
    write_json(
        paths.FINAL_SCORES / "metrics.json",
        final | {"shift": final["shift"] | none | {"recall": recall, "absent": alone}},
    )
    for file in Path("reports/fidelity").glob("*/*/metrics.json"):
        fidelity = read_json(file)
        gone = {name: None for name in fidelity["echo"] if name.startswith("floor")}
        missing = {"floor_missing": "No floor: the test set has no image of PSAX."}
        write_json(file, fidelity | missing | {"echo": fidelity["echo"] | gone})
    scores, reasons = build(params)
    metrics = read_json("reports/metrics.json")
    assert set(metrics["shift"]) == {"accuracy", "loss", "recall_A4C"}
    assert metrics["absent"] == {f"shift.{name}": reason for name, reason in alone.items()}
    assert reasons == {f"absent.{name}": reason for name, reason in metrics["absent"].items()}
    assert not {name for name in scores if name.startswith("absent.") or "floor" in name}
    page = Path("reports/index.html").read_text(encoding="utf-8")
    assert "AUPRC and F1 of shift (CAMUS + Unity) are absent, as it has images of A4C alone." in page
    assert page.count("No floor: the test set has no image of PSAX.") == 3
    rows = {row[0]: row[3] for row in tables.final(read_inputs(params)).rows}
    assert rows["macro AUPRC"] == rows["macro F1"] == rows["AUPRC A4C"] == "–" and rows["recall A4C"] == "0.020"


def test_stage_writes_all_and_repeats_its_bytes(tree: Path, params: Params) -> None:
    scores, reasons = build(params)
    written = [path for path in sorted(Path("reports").rglob("*")) if path.is_file()]
    before = [path.read_bytes() for path in written]
    assert build(params) == (scores, reasons) and reasons == {}
    assert [path.read_bytes() for path in written] == before
    metrics = read_json("reports/metrics.json")
    assert scores["test.macro_f1"] == metrics["test"]["macro_f1"]
    assert len(scores) == sum(map(len, metrics.values()))
    assert Path("reports/index.html").read_text(encoding="utf-8").endswith("</html>\n")
    auprc = pd.read_csv("reports/plots/auprc.csv")
    drawn = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"][0].popitem()[1]["y"]["reports/plots/auprc.csv"]
    assert set(auprc) == {"real_images", *drawn}  # DVC draws nothing where a column is missing
    assert auprc["real_images"].tolist() == sorted(auprc["real_images"])
    assert auprc.loc[0, "mixed"] == metrics["auprc"]["mixed_150"]
    matrix = read_json(paths.FINAL_SCORES / "metrics.json")["test"]["confusion"]
    pairs = pd.read_csv("reports/plots/confusion_test.csv").value_counts()
    assert pairs["A4C", "PLAX"] == matrix[1][2]
    assert pairs.sum() == 194
