"""Every stored classifier on the domain shift, and what its comparisons could have shown."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from echosynth.common.files import write_json
from echosynth.config.parameters import Params
from echosynth.evaluation.predictions import write_probabilities
from echosynth.evaluation.scores import evaluate
from echosynth.imagesets.dataset import LabelledImages
from echosynth.report.thesis.power import power_figures, power_tables, power_verdict
from echosynth.report.thesis.shift import shift_figures, shift_tables, shift_verdict
from echosynth.thesis import power, shift
from echosynth.thesis.power import powers
from echosynth.thesis.shift import score_on_shift

ARMS = {"real": 0.6, "synthetic": 1.2}


def images(count: int, views: int) -> LabelledImages:
    names = np.array([f"unity-{number}" for number in range(count)])
    groups = np.array([f"patient-{number // 3}" for number in range(count)])
    return LabelledImages(
        np.zeros((count, 8, 8), np.uint8), np.arange(count) % views, groups, np.full(count, "unity"), names
    )


def guesses(labels: np.ndarray, strength: float, seed: int) -> np.ndarray:
    logits = strength * np.eye(4)[labels] + np.random.default_rng(seed).normal(size=(len(labels), 4))
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params]) -> Iterator[Params]:
    """Four stored classifiers of one subset, whose networks are their folders."""
    monkeypatch.chdir(tmp_path)
    held_out, foreign = images(60, 4), images(90, 3)
    for group, seed in ((arm, seed) for arm in ARMS for seed in (0, 1)):
        folder = Path(f"models/classifiers/{group}-100-resnet18/{group}/seed-{seed}")
        folder.mkdir(parents=True)
        probabilities = guesses(held_out.labels, ARMS[group], seed)
        facts = {"arm": group, "subset": "100", "architecture": "resnet18", "seed": seed}
        facts |= {"real_images": 100, "images": 100, "synthetic": 0, "steps": 5}
        scores = evaluate(probabilities, held_out.labels, held_out.groups, held_out.sources)
        write_json(folder / "metrics.json", {"facts": facts, "validation": scores})
        write_probabilities(folder / "validation.csv", held_out.ids, probabilities)
        (folder / "model.safetensors").touch()
    for module in (shift, power):
        monkeypatch.setattr(module, "validation", lambda _: held_out)
    monkeypatch.setattr(shift, "load", lambda folder, _: (folder, None))
    monkeypatch.setattr(shift, "read_labelled", lambda _: foreign)
    monkeypatch.setattr(
        shift, "predict", lambda folder, _: guesses(foreign.labels, ARMS[folder.parts[3]], 5 + int(str(folder)[-1]))
    )
    yield params_with(
        arms={"real": ["real"], "synthetic": ["synthetic"], "baseline": []},
        split={"subsets": [100]},
        classifier={"bootstrap": 100},
        study={"power_patients": [1, 4], "power_seeds": [2, 5]},
        baselines={"generators": []},
        explore={"subset": 100},
    )


def test_all_classifiers_are_scored_and_none_is_chosen(toy: Params) -> None:
    metrics, ids, predicted = score_on_shift(toy)
    assert len(predicted) == 4
    assert predicted[0][0] == Path("real-100-resnet18/real/seed-0")
    assert all(len(probabilities) == len(ids) == 90 for _, probabilities in predicted)
    assert "best" not in metrics
    assert (metrics["images"], metrics["patients"], metrics["by_view"]["PSAX"]) == (90, 30, 0)
    assert metrics["absent"] == {"recall_PSAX": "no image of PSAX", "auprc_PSAX": "no image of PSAX"}
    real, synthetic = metrics["cells"]
    assert real["recall"]["PSAX"] is None and real["false_positives"]["PSAX"] > 0
    assert synthetic["versus"]["real"]["macro_auprc"] > 0
    assert synthetic["versus"]["real"]["false_positives"]["A4C"] < 0


def test_classifiers_that_kept_no_weights_are_left_out(toy: Params) -> None:
    Path("models/classifiers/real-100-resnet18/real/seed-0/model.safetensors").unlink()
    metrics, _, predicted = score_on_shift(toy)
    assert [folder.as_posix() for folder, _ in predicted if "real" in folder.parts] == ["real-100-resnet18/real/seed-1"]
    assert [cell["seeds"] for cell in metrics["cells"]] == [1, 2]


def test_the_page_says_absent_and_draws_what_is_there(toy: Params) -> None:
    metrics, _, _ = score_on_shift(toy)
    scores, wrong = shift_tables(metrics)
    assert scores.rows[0][-1] == "absent"
    assert "no image of PSAX" in scores.note
    assert "absent" not in wrong.rows[0]
    assert any("false positives of A4C" in line for line in shift_verdict(metrics))
    assert len(shift_figures(metrics)) == 2


def test_without_a_source_there_is_no_shift(toy: Params) -> None:
    alone = toy.model_copy(update={"data": toy.data.model_copy(update={"shift_sources": []})})
    metrics, ids, predicted = score_on_shift(alone)
    assert (metrics, len(ids), predicted) == ({"images": 0, "cells": []}, 0, [])
    assert shift_figures(metrics) == [] and shift_tables(metrics) == []
    assert shift_verdict(metrics) == ["No release of a domain shift is named (data.shift_sources)."]


def test_each_comparison_says_what_it_could_have_shown(toy: Params) -> None:
    metrics = powers(toy, [])
    auprc, recall = metrics["comparisons"]
    assert (auprc["score"], recall["score"]) == ("macro_auprc", "rare_recall")
    assert (auprc["first"], auprc["second"], auprc["patients"], auprc["seeds"]) == ("real", "synthetic", 20, 2)
    assert auprc["observed"] < 0 < auprc["smallest"]
    assert len(auprc["grid"]) == 4
    table = power_tables(metrics)[0]
    assert table.rows[0][:3] == ["100", "resnet18", "real less synthetic"]
    assert len(table.rows[0]) == len(table.header)
    assert len(power_verdict(metrics)) == 2
    assert len(power_figures(metrics)) == 1


def test_arms_of_a_question_are_compared_with_its_base(toy: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = power.stored_classifiers(["real", "synthetic"], [100], ["resnet18"], [0, 1], images(60, 4).ids)
    third = [replace(run, facts=run.facts | {"arm": "plus-20"}) for run in stored[2:]]
    Path("reports/study/fractions/100").mkdir(parents=True)
    monkeypatch.setattr(power, "read_cells", lambda *_: [*stored, *third])
    rows = powers(toy, ["fractions:synthetic"])["comparisons"]
    pairs = [(row["first"], row["second"]) for row in rows if row["question"] == "fractions"]
    assert pairs == [("real", "synthetic"), ("synthetic", "plus-20")] * 2
