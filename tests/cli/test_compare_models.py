"""`echosynth compare-models` as a person and a script meet it."""

import json
from pathlib import Path
from typing import Any

import pytest

from echosynth import cli
from echosynth.registry import scoring

FOUND: dict[str, Any] = {
    "versions": ["2", "1"],
    "images": 1194,
    "patients": 120,
    "test_hash": "a" * 32,
    "scores": {"test.macro_f1": [0.9, 0.85], "test.loss": [0.2, 0.3], "test.recall_PSAX": [1.0, 1.0]},
    "differences": {
        "macro_f1": {"value": 0.05, "interval": [0.01, 0.09]},
        "recall_PSAX": {"value": 0.0, "interval": [None, None]},
    },
    "notes": ["version 1 comes from another split"],
}


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setattr(scoring, "compare_models", lambda first, second, params: FOUND | {"asked": [first, second]})


def test_scores_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare-models", "champion", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "score        version 2  version 1  difference  95 % interval",
        "macro_f1     0.900      0.850      +0.050      +0.010 to +0.090",
        "loss         0.200      0.300      -0.100",
        "recall_PSAX  1.000      1.000      +0.000",
        "1,194 real test images of 120 patients; paired bootstrap over patients",
        "note: version 1 comes from another split",
    ]


def test_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare-models", "champion", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == FOUND | {"asked": ["champion", "1"]}
