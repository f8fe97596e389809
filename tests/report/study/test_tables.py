"""Cells of the tables are the numbers of the inputs."""

from pathlib import Path
from typing import Any

import numpy as np

from echosynth.common import paths
from echosynth.common.files import read_json, write_json
from echosynth.config.parameters import Params
from echosynth.report.study import tables
from echosynth.report.study.figures import classifier_figures
from echosynth.report.study.headline import headline
from echosynth.report.study.inputs import Inputs, read_inputs


def test_fidelity(inputs: Inputs) -> None:
    table = tables.fidelity(inputs, "echo")
    distances = ["0.031 ± 0.004", "−0.000 ± 0.003", "41.2 ± 1.1", "12.5 ± 0.8"]
    assert table.rows[0] == ["150", "diffusion", "194", *distances]
    assert [row[1] for row in table.rows] == ["diffusion", "gaussian", "mixup"] * 3
    assert tables.fidelity(inputs, "inception").rows == []
    photographs = tables.fidelity(inputs, "imagenet")
    assert photographs.caption.endswith("on ImageNet features (tf_efficientnet_lite0)")
    assert photographs.rows[0][-2] == "288.8 ± 1.1"


def test_yardstick(inputs: Inputs, comparison: dict[str, Any]) -> None:
    table = tables.yardstick(inputs)
    assert [tuple(row[:2]) for row in table.rows][:4] == [
        ("150", "diffusion"),
        ("150", "gaussian"),
        ("150", "mixup"),
        ("500", "diffusion"),
    ]
    cell = next(c for c in comparison["cells"] if (c["arm"], c["subset"]) == ("synthetic", "150"))
    versus = cell["versus"]["real"]
    low, high = versus["macro_auprc_interval"]
    use = [f"{cell['macro_auprc']:.3f}", f"+{versus['macro_auprc']:.3f}", f"+{low:.3f} to +{high:.3f}"]
    assert list(table.rows[0][2:]) == ["0.031", "−0.000", "0.810", "0.850", *use, "2.3 %", "1.0 %", "41.2"]
    assert table.rows[1][4] == "0.710" and table.rows[1][6] != table.rows[0][6]
    assert "2 classifiers (resnet18, arm real, subset all)" in table.note


def test_yardstick_without_judges_and_arms(tree: Path, params: Params, comparison: dict[str, Any]) -> None:
    comparison["cells"] = [cell for cell in comparison["cells"] if cell["arm"] != "gaussian"]
    write_json(paths.COMPARISON / "metrics.json", comparison | {"agreement": None})
    table = tables.yardstick(read_inputs(params))
    assert list(table.rows[1][4:9]) == ["–"] * 5
    assert "View agreement" not in table.note


def test_known_pictures(inputs: Inputs) -> None:
    assert list(tables.known_pictures(inputs).rows[1]) == ["mirrored", "0.284", "0.579", "95.0"]


def test_comparison(inputs: Inputs, comparison: dict[str, Any]) -> None:
    table = tables.comparison(inputs)
    runs = [run for run in comparison["runs"] if (run["arm"], run["subset"]) == ("mixed", "500")]
    row = next(row for row in table.rows if list(row[:2]) == ["500", "mixed"])
    for name, key, digits in (("AUPRC", "macro_auprc", 3), ("loss", "loss", 3)):
        values = np.array([run[key] for run in runs])
        assert row[list(table.header).index(name)] == f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"
    recall = np.array([run["recall"]["PSAX"] for run in runs])
    assert row[list(table.header).index("recall PSAX")] == f"{recall.mean():.2f} ± {recall.std(ddof=1):.2f}"
    assert tables.training_sets(inputs).rows[3] == ["150", "mixed", "1,650", "1,500", "300"]


def test_differences(inputs: Inputs, comparison: dict[str, Any]) -> None:
    row = tables.differences(inputs).rows[1]
    versus = next(c for c in comparison["cells"] if (c["arm"], c["subset"]) == ("synthetic", "150"))["versus"]["real"]
    low, high = versus["rare_recall_interval"]
    assert list(row[:3]) == ["150", "synthetic", "real"]
    assert list(row[4:7]) == [f"+{versus['rare_recall']:.3f}", f"+{low:.3f} to +{high:.3f}", "higher"]


def test_which_chances_the_intervals_hold_is_said(tree: Path, params: Params, comparison: dict[str, Any]) -> None:
    assert "the chance of training is in it" in tables.differences(read_inputs(params)).note
    write_json(paths.COMPARISON / "metrics.json", comparison | {"intervals_over": "patients"})
    inputs = read_inputs(params)
    assert "it holds no chance of training" in tables.differences(inputs).note
    assert "95 % interval over patients;" in str(classifier_figures(inputs)[0].caption)
    assert headline(inputs).recalls.endswith(" Intervals are over patients.")


def test_several_architectures_get_a_column(tree: Path, params: Params, comparison: dict[str, Any]) -> None:
    for key in ("cells", "runs"):
        comparison[key] += [item | {"architecture": "vgg16"} for item in comparison[key]]
    write_json(paths.COMPARISON / "metrics.json", comparison)
    both = params.arms.model_copy(update={"architectures": ["resnet18", "vgg16"]})
    table = tables.comparison(read_inputs(params.model_copy(update={"arms": both})))
    assert table.header[2] == "architecture"
    assert [row[2] for row in table.rows] == ["resnet18"] * 18 + ["vgg16"] * 18


def test_final(tree: Path, inputs: Inputs) -> None:
    rows = {row[0]: row[1:] for row in tables.final(inputs).rows}
    test = read_json(paths.FINAL_SCORES / "metrics.json")["test"]
    assert rows["images"] == ["194", "194", "460"]
    assert rows["macro AUPRC"][1:] == ["0.913 [0.873 to 0.943]", "0.550 [0.510 to 0.580]"]
    assert rows["recall PSAX"][2] == rows["AUPRC PSAX"][2] == "–"
    assert tables.final_matrices(inputs)[1].counts == test["confusion"]


def test_by_source(inputs: Inputs) -> None:
    table = tables.sources_of_cells(inputs, "150")
    assert list(table.rows[0]) == ["real", "EchoNet-Dynamic", "50", "0.970", "–", "–", "–", "0.970", "–", "–"]
