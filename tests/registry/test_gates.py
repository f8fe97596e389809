"""Gates: what passes, what is refused, and by which words."""

from collections.abc import Callable
from typing import Any

import pytest

from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.config.promotion import PromotionParams
from echosynth.evaluation.paired import Difference
from echosynth.evaluation.scores import absent
from echosynth.registry.gates import (
    calibration_gate,
    floor_gates,
    patients_gate,
    privacy_gate,
    registered_gate,
    regression_gates,
    size_gate,
)

AUDIT = {"synthetic_hash": "123", "training_hash": "abc", "near_copies": 0.02, "quantile": 0.01}


@pytest.fixture
def gates(params_with: Callable[..., Params]) -> PromotionParams:
    """The floors of these tests, whatever the demo's are."""
    return params_with(
        promotion={
            "min_macro_f1": 0.8,
            "min_recall": {"A2C": 0.5, "A4C": 0.9, "PLAX": 0.9, "PSAX": 0.0},
            "max_regression": {"macro_auprc": 0.05, "macro_f1": 0.1},
            "max_calibration_error": 0.1,
            "max_near_copies": 0.05,
        }
    ).promotion


def scores(f1: float, **recall: float | None) -> dict[str, Any]:
    return {"macro_f1": f1, "recall": dict.fromkeys(VIEWS, 0.95) | recall}


@pytest.mark.parametrize(
    ("found", "failed"),
    [
        (scores(0.8, A2C=0.5), []),
        (scores(0.799), ["macro F1"]),
        (scores(0.9, A2C=0.49, A4C=0.2), ["recall of A2C", "recall of A4C"]),
        (scores(0.9, PLAX=None), ["recall of PLAX"]),
        (scores(0.9, PSAX=None), []),  # its floor is 0
        (scores(0.9, PSAX=0.0), []),
    ],
)
def test_floors(gates: PromotionParams, found: dict[str, Any], failed: list[str]) -> None:
    assert [gate.name for gate in floor_gates(found, gates) if not gate.passed] == failed


def test_what_the_test_set_cannot_give_is_refused_with_the_reason_where_it_is_asked_for(gates: PromotionParams) -> None:
    alone = {"macro_f1": None, "recall": dict.fromkeys(VIEWS) | {"A4C": 0.95}}
    found = {gate.name: gate for gate in floor_gates(alone, gates)}
    assert [name for name, gate in found.items() if not gate.passed] == ["macro F1", "recall of A2C", "recall of PLAX"]
    assert found["macro F1"].value == "not given: the test set has images of A4C alone"
    assert found["recall of PLAX"].value == "not given: the test set has no image of PLAX"
    nothing = gates.model_copy(update={"min_macro_f1": 0.0})
    assert floor_gates(alone, nothing)[0].passed
    differences = {"recall_A4C": Difference(0.0, [0.0, 0.0], 0.0)}
    auprc, f1 = regression_gates(differences, gates, reasons=absent(alone))
    assert not auprc.passed and not f1.passed
    assert auprc.value == "not given: the test set has images of A4C alone"
    margins = gates.max_regression.model_copy(update={"macro_f1": 1.0})
    any_f1 = gates.model_copy(update={"max_regression": margins})
    assert [gate.passed for gate in regression_gates(differences, any_f1, reasons=absent(alone))] == [False, True]


@pytest.mark.parametrize(
    ("value", "lower", "passed"),
    [(0.0, -0.05, True), (0.02, -0.051, False), (-0.04, -0.045, True), (-0.2, -0.3, False), (0.0, float("nan"), False)],
)
def test_no_regression_is_what_the_lower_bound_shows(
    gates: PromotionParams, value: float, lower: float, passed: bool
) -> None:
    differences = {
        "macro_auprc": Difference(value, [lower, 0.1], lower),
        "macro_f1": Difference(0.0, [0.0, 0.0], 0.0),
    }
    auprc, f1 = regression_gates(differences, gates)
    assert (auprc.passed, f1.passed) == (passed, True)
    assert "against the champion" in auprc.name


def test_without_a_champion_there_is_no_regression_and_the_table_says_so(gates: PromotionParams) -> None:
    found = regression_gates(None, gates)
    assert all(gate.passed for gate in found)
    assert {gate.value for gate in found} == {"no champion yet"}


@pytest.mark.parametrize(
    ("champion", "allowed", "passed"),
    [(None, False, True), (32, False, True), (64, False, False), (64, True, True)],
)
def test_a_champion_of_another_picture_size(
    gates: PromotionParams, champion: int | None, allowed: bool, passed: bool
) -> None:
    gates = gates.model_copy(update={"allow_other_size": allowed})
    assert size_gate(32, champion, gates).passed == passed
    comparable = champion in (None, 32)
    assert {gate.passed for gate in regression_gates(None, gates, comparable=comparable)} == {passed}


def test_limits_say_what_they_depend_on(gates: PromotionParams) -> None:
    gates = gates.model_copy(update={"alpha": 0.1, "calibration_bins": 7})
    assert regression_gates(None, gates)[0].limit == "lower bound at least -0.05 (alpha 0.1)"
    assert calibration_gate(0.0, gates).limit == "at most 0.1 (7 bins)"


def test_calibration_and_patients(gates: PromotionParams) -> None:
    assert calibration_gate(0.1, gates).passed and not calibration_gate(0.101, gates).passed
    assert patients_gate(0).passed and not patients_gate(1).passed


@pytest.mark.parametrize(
    ("audit", "synthetic", "passed", "value"),
    [
        (None, 0, True, "no synthetic images"),
        (None, 1000, False, "no privacy audit"),
        (AUDIT, 1000, True, "0.020 (0.01 expected)"),
        (AUDIT | {"near_copies": 0.051}, 1000, False, "0.051 (0.01 expected)"),
        (AUDIT | {"near_copies_by_view": {"A2C": 0.051, "A4C": 0.01}}, 1000, False, "0.020, A2C 0.051 (0.01 expected)"),
        (AUDIT | {"near_copies_by_view": {"A2C": 0.03, "A4C": 0.01}}, 1000, True, "0.020, A2C 0.030 (0.01 expected)"),
        (AUDIT | {"synthetic_hash": "456"}, 1000, False, "the audit is of other images"),
        ({key: AUDIT[key] for key in AUDIT if key != "synthetic_hash"}, 1000, False, "the audit is of other images"),
        (AUDIT | {"training_hash": "def"}, 1000, False, "the audit is of other images"),
    ],
)
def test_synthetic_images_need_an_audit(
    gates: PromotionParams, audit: dict[str, Any] | None, synthetic: int, passed: bool, value: str
) -> None:
    gate = privacy_gate(audit, synthetic, "123", "abc", gates)
    assert (gate.passed, gate.value) == (passed, value)


def test_the_audit_can_be_switched_off_and_the_table_says_so(gates: PromotionParams) -> None:
    gate = privacy_gate(None, 1000, "123", "abc", gates.model_copy(update={"require_privacy_audit": False}))
    assert gate.passed and gate.limit == "not asked for"


def test_registered_scores_must_be_those_of_the_weights() -> None:
    registered = {"test.macro_f1": 0.9, "test.loss": 0.2}
    assert registered_gate({"test.macro_f1": 0.905, "test.loss": 0.2, "test.accuracy": 1.0}, registered).passed
    assert not registered_gate({"test.macro_f1": 0.9, "test.loss": 0.22}, registered).passed
