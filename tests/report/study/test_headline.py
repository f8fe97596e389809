"""The headline follows the numbers, whichever way they fall."""

from pathlib import Path
from typing import Any

import pytest

from echosynth.common import paths
from echosynth.common.files import write_json
from echosynth.config.parameters import Params
from echosynth.report.study.headline import Headline, headline, verdict
from echosynth.report.study.inputs import read_inputs


def told(comparison: dict[str, Any], params: Params) -> Headline:
    """The headline for a changed comparison."""
    write_json(paths.COMPARISON / "metrics.json", comparison)
    return headline(read_inputs(params))


def cell(comparison: dict[str, Any], arm: str, subset: str = "150") -> dict[str, Any]:
    return next(cell for cell in comparison["cells"] if (cell["arm"], cell["subset"]) == (arm, subset))


@pytest.mark.parametrize(
    ("bounds", "reading"),
    [
        ([0.01, 0.2], "higher"),
        ([-0.2, -0.01], "lower"),
        ([-0.1, 0.2], "interval holds 0"),
        ([0.0, 0.2], "interval holds 0"),
        ([None, None], "no interval"),
    ],
)
def test_verdict(bounds: list[float | None], reading: str) -> None:
    assert verdict(bounds) == reading


def test_higher_recall_is_called_higher(tree: Path, comparison: dict[str, Any], params: Params) -> None:
    cell(comparison, "synthetic")["versus"]["real"] |= {"rare_recall": 0.3, "rare_recall_interval": [0.1, 0.5]}
    first = told(comparison, params)
    assert "higher than with real images alone for oversampled" in first.answer
    assert "synthetic (+0.300)" in first.answer
    assert "mean recall of A2C / PSAX +0.300 (95 % interval +0.100 to +0.500): higher" in first.differences[1]


def test_lower_recall_is_called_worse(tree: Path, comparison: dict[str, Any], params: Params) -> None:
    cell(comparison, "synthetic")["versus"]["real"] |= {"rare_recall": -0.3, "rare_recall_interval": [-0.5, -0.1]}
    first = told(comparison, params)
    assert "lower than with real images alone for synthetic (−0.300)" in first.answer
    assert "(95 % interval −0.500 to −0.100): worse" in first.differences[1]


def test_an_interval_with_0_is_named(tree: Path, comparison: dict[str, Any], params: Params) -> None:
    for arm in ("oversampled", "synthetic", "mixed", "gaussian", "mixup"):
        cell(comparison, arm)["versus"]["real"] |= {"rare_recall": 0.3, "rare_recall_interval": [-0.1, 0.5]}
    first = told(comparison, params)
    assert "higher" not in first.answer
    assert first.answer.endswith(
        "the interval holds 0, for oversampled (+0.300), synthetic (+0.300), mixed (+0.300), "
        "gaussian (+0.300) and mixup (+0.300)."
    )
    assert "+0.500): the interval holds 0;" in first.differences[0]


def test_recalls_and_sizes(tree: Path, comparison: dict[str, Any], params: Params) -> None:
    cell(comparison, "real")["recall"] |= {"A2C": 0.0, "PSAX": 0.125}
    first = told(comparison, params)
    assert "A2C / PSAX is 0.00 / 0.12 with real images alone" in first.recalls
    assert "mean of 2 seeds). Intervals are over patients and trainings." in first.recalls
    assert [line.split(",")[0] for line in first.sizes] == ["With 500 real images", "With 1"]


def test_what_holds_synthetic_images_is_held_against_what_is_had_without_them(
    tree: Path, comparison: dict[str, Any], params: Params
) -> None:
    said = [line.split(":")[0] for line in told(comparison, params).differences]
    expected = ["Oversampled against real", "Synthetic against real", "Synthetic against oversampled"]
    expected += ["Synthetic against gaussian", "Synthetic against mixup"]
    expected += ["Mixed against real", "Mixed against oversampled"]  # no baseline was trained beside real images
    assert said == [*expected, "Gaussian against real", "Mixup against real"]
    cell(comparison, "synthetic")["versus"]["gaussian"] |= {"macro_auprc": -0.1, "macro_auprc_interval": [-0.2, -0.05]}
    line = told(comparison, params).differences[3]
    assert line.endswith("macro AUPRC −0.100 (95 % interval −0.200 to −0.050): worse.")


def test_without_bootstrap(tree: Path, comparison: dict[str, Any], params: Params) -> None:
    for item in comparison["cells"]:
        item["versus"] = {}
        item.pop("interval")
    first = told(comparison, params)
    assert "no comparison with real images was computed" in first.answer
    assert first.differences == []


def test_a_difference_without_an_interval_is_called_so(tree: Path, comparison: dict[str, Any], params: Params) -> None:
    for item in comparison["cells"]:
        for versus in item["versus"].values():
            versus |= {"rare_recall_interval": [None, None], "macro_auprc_interval": [None, None]}
    cell(comparison, "synthetic")["versus"]["real"] |= {"rare_recall": 0.3, "macro_auprc": 0.1}
    first = told(comparison, params)
    assert "no interval known for" in first.answer
    expected = "mean recall of A2C / PSAX +0.300: no interval; macro AUPRC +0.100: no interval."
    assert first.differences[1] == f"Synthetic against real: {expected}"
