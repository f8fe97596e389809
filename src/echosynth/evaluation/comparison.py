"""Which arm is better: runs put together by arm and subset, with differences paired by patient.

What a score would be with other patients and with other trainings are two chances. A bootstrap over patients shows the
first. The second is how trainings differ by their seed alone (or by the rounding of another kind of CPU). A few seeds
an arm say little of it, so the variance over seeds is pooled over the arms of a subset, and a Student t term of it is
added to the draws. (Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks": without the
second an interval is too narrow.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.classifier.options import generator_of
from echosynth.common.views import RARE_VIEWS, VIEW_INDEX, VIEWS
from echosynth.evaluation.scores import (
    Floats,
    Ints,
    by_view,
    confusion,
    false_positives,
    interval,
    known,
    macro_auprc,
    macro_f1,
    recalls,
    resample,
)

Key = tuple[str, str, str]  # architecture, subset, arm
RARE = [VIEW_INDEX[view] for view in RARE_VIEWS]


@dataclass(frozen=True)
class ScoredClassifier:
    """One trained classifier on the validation images.

    Attributes:
        facts: arm, subset, real_images, architecture, seed, images, synthetic, steps.
        scores: what `echosynth.evaluation.scores.evaluate` returned.
        probabilities: (N, 4) on the validation images, in the same order in every run.
    """

    facts: dict[str, Any]
    scores: dict[str, Any]
    probabilities: npt.NDArray[Any]


def row(run: ScoredClassifier) -> dict[str, Any]:
    """One run as a flat row of the comparison."""
    kept = {key: run.scores[key] for key in ("macro_auprc", "macro_f1", "loss", "accuracy", "recall")}
    tmed2 = run.scores["by_source"].get("tmed2")
    return run.facts | kept | {"tmed2": tmed2 and {key: tmed2[key] for key in ("macro_auprc", "macro_f1")}}


def mean_draws(runs: list[ScoredClassifier], labels: Ints, weights: Floats) -> dict[str, Floats]:
    """Scores of each bootstrap draw, averaged over the runs (seeds).

    Args:
        runs: at least one.
        labels: (N,) true views.
        weights: (R, N), see `echosynth.evaluation.scores.resample`.

    Returns:
        macro_auprc, macro_f1 and rare_recall (R,); recall and false_positives (R, 4) by view. NaN where a draw cannot
        give a score.
    """
    matrices = [confusion(labels, run.probabilities.argmax(1).astype(np.int64), weights) for run in runs]
    recall = np.mean([recalls(matrix) for matrix in matrices], axis=0)
    with np.errstate(invalid="ignore"):
        return {
            "macro_auprc": np.mean([macro_auprc(run.probabilities, labels, weights) for run in runs], axis=0),
            "macro_f1": np.mean([macro_f1(matrix) for matrix in matrices], axis=0),
            "recall": recall,
            "false_positives": np.mean([false_positives(matrix) for matrix in matrices], axis=0),
            "rare_recall": recall[:, RARE].mean(axis=1),
        }


def training_variance(singles: list[list[dict[str, Floats]]]) -> tuple[dict[str, Floats], int]:
    """Pool the variance over seeds over arms that are alike but for what they were trained on.

    Args:
        singles: `mean_draws` of each run alone, on the images as they are, by arm.

    Returns:
        Variance of each score, and its degrees of freedom; no score where these are 0.
    """
    freedom = sum(len(runs) - 1 for runs in singles)
    variance = {}
    for name in singles[0][0] if freedom else ():
        by_arm = [np.concatenate([run[name] for run in runs]) for runs in singles]
        variance[name] = np.sum([((scores - scores.mean(0)) ** 2).sum(0) for scores in by_arm], axis=0) / freedom
    return variance, freedom


def _with_training(
    singles: Mapping[Key, list[dict[str, Floats]]], samples: Mapping[Key, dict[str, Floats]], seed: int
) -> dict[Key, dict[str, Floats]]:
    """Add the chance of training to draws of patients.

    Args:
        singles: scores (1, ...) of each run of an arm, on the images as they are.
        samples: draws (R, ...) of the mean of these runs, with other patients.
        seed: of the terms that are added.

    Returns:
        `samples`, each with t s / sqrt(n): s^2 is the variance over the n seeds of an arm, pooled over all arms of the
        subset and architecture, and t has Student's distribution with their degrees of freedom; arms share its
        denominator, so that a difference of two has it too. Where no arm has a second seed nothing is known of this
        chance, and nothing is added.
    """
    rng = np.random.default_rng((seed, 1))
    result = {key: dict(draws) for key, draws in samples.items()}
    for family in dict.fromkeys(key[:2] for key in samples):
        alike = [key for key in samples if key[:2] == family]
        variances, freedom = training_variance([singles[key] for key in alike])
        for name, variance in variances.items():
            shape = samples[alike[0]][name].shape
            spread = np.sqrt(variance * freedom / rng.chisquare(freedom, shape))
            for key in alike:
                result[key][name] = samples[key][name] + spread * rng.normal(size=shape) / np.sqrt(len(singles[key]))
    return result


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _deviation(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.std(there, ddof=min(1, len(there) - 1))) if there else None


def _by_source(runs: list[ScoredClassifier]) -> dict[str, Any]:
    """Scores by source, averaged over the runs."""
    result = {}
    for source, first in runs[0].scores["by_source"].items():
        mine = [run.scores["by_source"][source] for run in runs]
        result[source] = {"count": first["count"]} | {
            key: _mean([scores[key] for scores in mine]) for key in ("accuracy", "macro_auprc", "macro_f1")
        }
        result[source]["recall"] = {view: _mean([scores["recall"][view] for scores in mine]) for view in VIEWS}
    return result


def _differences(
    key: Key, points: Mapping[Key, dict[str, Floats]], samples: Mapping[Key, dict[str, Floats]]
) -> dict[str, Any]:
    """Differences to all other arms of the same subset and architecture: the draws are of the same patients, so that
    they are subtracted pair by pair. None for a score that the images cannot give."""
    result: dict[str, Any] = {}
    for other in points:
        if other[:2] == key[:2] and other != key:
            result[other[2]] = versus = dict[str, Any]()
            for name in ("macro_auprc", "rare_recall"):
                versus[name] = known(points[key][name][0] - points[other][name][0])
                draws = interval(samples[key][name] - samples[other][name]) if samples else [None, None]
                versus[f"{name}_interval"] = draws
            name = "false_positives"
            versus[name] = by_view(points[key][name][0] - points[other][name][0])
            if samples:
                spread = samples[key][name] - samples[other][name]
                versus[f"{name}_interval"] = dict(zip(VIEWS, map(interval, spread.T), strict=True))
    return result


def compare(
    runs: list[ScoredClassifier], labels: Ints, groups: npt.NDArray[Any], draws: int, seed: int
) -> dict[str, Any]:
    """Put runs together by arm, subset and architecture.

    Args:
        runs: at least one.
        labels: (N,) true views of the validation images; of one view alone there is no macro AUPRC (None).
        groups: (N,) their patients.
        draws: of the bootstrap over patients (0: no intervals).
        seed: of the draws.

    Returns:
        `runs`: a row each; `cells`: means over seeds with intervals, confusion matrices and `versus`, the difference
        to each other arm of the same subset; `intervals_over`: the chances that the intervals hold, "patients and
        trainings" or, of one seed an arm, "patients"; `best`: the row with the largest macro AUPRC, those of baselines
        and of arms that `echosynth.classifier.options` does not know left out, which are there to be compared with;
        None where no other row has a macro AUPRC.
    """
    cells: dict[Key, list[ScoredClassifier]] = {}
    for run in runs:
        cells.setdefault((run.facts["architecture"], run.facts["subset"], run.facts["arm"]), []).append(run)
    ones = np.ones((1, len(labels)))
    weights = resample(groups, draws, seed) if draws else np.zeros((0, len(labels)))
    points = {key: mean_draws(members, labels, ones) for key, members in cells.items()}
    samples = {key: mean_draws(members, labels, weights) for key, members in cells.items()} if draws else {}
    singles = {key: [mean_draws([run], labels, ones) for run in members] for key, members in cells.items()}
    samples = _with_training(singles, samples, seed)
    result = []
    for key, members in cells.items():
        rows = [row(run) for run in members]
        counts = np.sum([run.scores["confusion"] for run in members], axis=0)
        cell = {
            name: members[0].facts[name]
            for name in ("arm", "subset", "real_images", "architecture", "images", "synthetic", "steps")
        }
        cell |= {
            "seeds": len(members),
            "recall": {view: _mean([item["recall"][view] for item in rows]) for view in VIEWS},
        }
        cell |= {name: _mean([item[name] for item in rows]) for name in ("macro_auprc", "macro_f1", "loss", "accuracy")}
        cell |= {f"{name}_sd": _deviation([item[name] for item in rows]) for name in ("macro_auprc", "macro_f1")}
        cell |= {
            f"tmed2_{name}": _mean([item["tmed2"] and item["tmed2"][name] for item in rows])
            for name in ("macro_auprc", "macro_f1")
        }
        cell |= {"confusion": counts.tolist(), "by_source": _by_source(members)}
        cell["false_positives"] = by_view(points[key]["false_positives"][0])
        cell["confusion_normalised"] = (counts / np.maximum(counts.sum(1, keepdims=True), 1)).round(6).tolist()
        cell["versus"] = _differences(key, points, samples)
        if draws:
            cell["interval"] = {
                name: interval(samples[key][name].clip(0, 1)) for name in ("macro_auprc", "macro_f1")
            } | {
                name: dict(zip(VIEWS, map(interval, samples[key][name].clip(0, 1).T), strict=True))
                for name in ("recall", "false_positives")
            }
        result.append(cell)
    table = [row(run) for run in runs]
    candidates = [
        item for item in table if generator_of(item["arm"]) in (None, "diffusion") and item["macro_auprc"] is not None
    ]
    return {
        "runs": table,
        "cells": result,
        "intervals_over": "patients and trainings" if len(runs) > len(cells) else "patients",
        "best": max(candidates, key=lambda item: item["macro_auprc"], default=None),
    }
