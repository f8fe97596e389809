"""Early selection: do cheap trainings rank architectures as trainings on all real images do?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from echosynth.classifier.arms import training_set
from echosynth.classifier.network import predict
from echosynth.classifier.options import check_side
from echosynth.classifier.timm_networks import check_known
from echosynth.classifier.train import train
from echosynth.common import paths
from echosynth.common.errors import EchosynthError, OptionError
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier
from echosynth.evaluation.ranking import Floats, early_selection
from echosynth.evaluation.scores import macro_auprc, resample
from echosynth.thesis.cells import Cell, Outcome, read_cells, run_cells
from echosynth.thesis.images import subset, synthetic, validation

QUESTION = "ranking"
REAL, SYNTHETIC, ALL = "real", "synthetic", "all real"  # few real images, those made from them, all real images


def rank(params: Params) -> None:
    """Train each architecture on few real images, on the synthetic ones made from them, and on all real ones; write
    reports/study/ranking.

    Raises:
        EchosynthError: there is no such subset, or a network is unknown or too large for the images.
    """
    study, (few, every) = params.study, _subsets(params)
    for architecture in study.early_architectures:
        try:
            check_known(architecture)
        except OptionError as error:
            raise EchosynthError(f"study.early_architectures: {error}") from None
        check_side("study.early_architectures", architecture, params.ingest.size)
    cells = [
        Cell(arm, size, architecture, seed)
        for arm, size in ((ALL, every), (REAL, few), (SYNTHETIC, few))
        for architecture in study.early_architectures
        for seed in study.early_seeds
    ]
    inputs: list[Path] = [paths.subset_file(few), paths.subset_file(every), paths.synthetic_set("diffusion", few)]
    run_cells(QUESTION, few, params, cells, train_one, inputs)


def train_one(params: Params, cell: Cell) -> Outcome:
    """Train one classifier as section `classifier` says and predict the validation images."""
    sources = params.data.train_sources
    made = synthetic(cell.subset) if cell.arm == SYNTHETIC else None
    data = training_set("synthetic" if made else "real", subset(sources, cell.subset), made, cell.seed)
    name = f"{cell.architecture} {cell.arm} seed {cell.seed}"
    trained = train(params.classifier, cell.architecture, cell.seed, data, name=name)
    predicted = predict(trained.network, validation(sources).images)
    return Outcome(predicted, len(data.images), data.synthetic, trained.steps, trained.seconds)


def ranking(params: Params) -> dict[str, Any]:
    """Judge the cheap trainings.

    Returns:
        `subset` and `real_images` of the few; `architectures`: a row each with the mean macro AUPRC of the three
        trainings by name of the arm; `seeds`; `early`: what `echosynth.evaluation.ranking.early_selection` returns,
        the few real images being what synthetic ones are compared with.
    """
    held_out, settings, few = validation(params.data.train_sources), params.classifier, _subsets(params)[0]
    runs = read_cells(QUESTION, few, held_out)
    weights = np.ones((1, len(held_out.labels)))
    if settings.bootstrap:
        weights = np.concatenate([weights, resample(held_out.groups, settings.bootstrap, settings.bootstrap_seed)])
    names = params.study.early_architectures

    def drawn(arm: str) -> list[Floats]:
        mine = [[run for run in runs if _place(run) == (arm, name)] for name in names]
        return [np.array([macro_auprc(run.probabilities, held_out.labels, weights) for run in own]) for own in mine]

    scores: dict[str, list[Floats]] = {arm: drawn(arm) for arm in (REAL, SYNTHETIC, ALL)}
    early = {arm: scores[arm] for arm in (REAL, SYNTHETIC)}
    return {
        "subset": few,
        "real_images": next(run.facts["real_images"] for run in runs if run.facts["arm"] == REAL),
        "seeds": len(params.study.early_seeds),
        "architectures": [
            {"architecture": name} | {arm: float(own[place][:, 0].mean()) for arm, own in scores.items()}
            for place, name in enumerate(names)
        ],
        "early": early_selection(early, scores[ALL], REAL, settings.bootstrap_seed),
    }


def _place(run: ScoredClassifier) -> tuple[str, str]:
    return run.facts["arm"], run.facts["architecture"]


def _subsets(params: Params) -> tuple[str, str]:
    """The few real images and all of them."""
    known: Sequence[int | str] = params.split.subsets
    if params.study.early_subset not in known[:-1]:
        names = ", ".join(map(str, known[:-1])) or "none yet"
        raise EchosynthError(
            f"study.early_subset = {params.study.early_subset} must be one of split.subsets but the last: {names}"
        )
    return str(params.study.early_subset), str(known[-1])
