"""Every stored classifier on the domain shift: exploratory, nothing is chosen by it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.classifier.arms import has_weights
from echosynth.classifier.network import load, predict
from echosynth.common import paths
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier, compare
from echosynth.evaluation.scores import absent, evaluate
from echosynth.evaluation.stored import folder_of, stored_classifiers
from echosynth.imagesets.dataset import LabelledImages, read_labelled
from echosynth.thesis.images import validation

Predicted = list[tuple[Path, npt.NDArray[np.float32]]]


def score_on_shift(params: Params) -> tuple[dict[str, Any], npt.NDArray[np.str_], Predicted]:
    """Score all classifiers on the images of `data.shift_sources`.

    Returns:
        What `echosynth.evaluation.comparison.compare` returns, its `best` left out, since nothing is chosen here, with
        `images` and `patients` of the shift, images `by_view`, and `absent`, why scores are None; ids of the images;
        and of each classifier its folder below models/classifiers and its predictions. Without a source: no images, no
        cells.
    """
    if not params.data.shift_sources:
        return {"images": 0, "cells": []}, np.array([], str), []
    shift = read_labelled([paths.SHIFT / source for source in params.data.shift_sources])
    runs, predicted = [], list[tuple[Path, npt.NDArray[np.float32]]]()
    settings, ids = params.classifier, validation(params.data.train_sources).ids
    stored = stored_classifiers(params.arms.names, params.split.subsets, params.arms.architectures, settings.seeds, ids)
    for one in stored:
        if not has_weights(folder := folder_of(one)):
            continue
        probabilities = predict(load(folder, pick_device())[0], shift.images)
        predicted.append((folder.relative_to(paths.CLASSIFIERS), probabilities))
        scores = evaluate(probabilities, shift.labels, shift.groups, shift.sources)
        runs.append(ScoredClassifier(one.facts, scores, probabilities))
    print(f"{len(runs)} classifiers scored on {len(shift.labels)} images of the shift", file=sys.stderr)
    return _result(runs, shift, settings.bootstrap, settings.bootstrap_seed), shift.ids, predicted


def _result(runs: list[ScoredClassifier], shift: LabelledImages, draws: int, seed: int) -> dict[str, Any]:
    result = compare(runs, shift.labels, shift.groups, draws, seed)
    del result["best"]
    facts = {"images": len(shift.labels), "patients": len(np.unique(shift.groups)), "by_view": shift.by_view()}
    return facts | {"absent": absent(runs[0].scores)} | result
