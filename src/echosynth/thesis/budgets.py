"""Tables 5.3 and 5.4 under another budget. The thesis trained every classifier for as many epochs, so that larger sets
had more optimisation steps; with as many steps for all the smaller sets are seen more often. What synthetic images do
may be their number of steps."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from echosynth.classifier.arms import training_set
from echosynth.classifier.options import ArmName
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier, mean_draws, training_variance
from echosynth.evaluation.scores import MACRO, Floats, Ints, interval, known, resample
from echosynth.evaluation.stored import stored_classifiers
from echosynth.thesis.cells import Cell, Outcome, read_cells
from echosynth.thesis.images import subset, synthetic, validation
from echosynth.thesis.material import Material, run_arms, trained

QUESTION = "budgets"
REAL, SYNTHETIC = ARMS = ("real", "synthetic")
Budget = Literal["steps", "epochs"]
BUDGETS: tuple[Budget, ...] = get_args(Budget)
CHANGE = "change"  # of what synthetic images add, from equal steps to equal epochs
Runs = Mapping[str, Sequence[ScoredClassifier]]  # by arm


def with_other_budget(params: Params) -> Params:
    """Give the parameters the budget that `classifier.budget` does not name, of the length in `study.other_budget`."""
    budget: Budget = "epochs" if params.classifier.budget == "steps" else "steps"
    length = getattr(params.study.other_budget, budget)
    classifier = params.classifier.model_copy(update={"budget": budget, budget: length})
    return params.model_copy(update={"classifier": classifier})


def arms(params: Params) -> list[ArmName]:
    """Name the arms: real and synthetic images, those that the main pipeline trains too."""
    return [arm for arm in params.arms.names if arm in ARMS]


def run(params: Params, size: str) -> None:
    """Train under the other budget on one subset and its synthetic set, write reports/study/budgets/<size>."""
    run_arms(QUESTION, with_other_budget(params), size, arms(params), make, train)


def train(params: Params, cell: Cell) -> Outcome:
    """Train one cell."""
    return trained(QUESTION, params, cell, make(params, cell))


def make(params: Params, cell: Cell) -> Material:
    """Make what a cell is trained on: the very set of the main pipeline."""
    real, made = subset(params.data.train_sources, cell.subset), synthetic(cell.subset)
    data = training_set(cell.arm, real, made, cell.seed)
    return Material(data, facts={"budget": params.classifier.budget})


def read_effects(params: Params, size: str) -> dict[str, Any]:
    """Say what synthetic images add on one subset under each budget, see `effects`; both arms must have been trained.

    Raises:
        EchosynthError: a file is missing or damaged, or is about other images.
    """
    settings, held_out = params.classifier, validation(params.data.train_sources)
    architectures = params.arms.architectures[:1]
    main = stored_classifiers(params.arms.names, [size], architectures, settings.seeds, held_out.ids)
    runs = {
        settings.budget: by_arm(main),
        with_other_budget(params).classifier.budget: by_arm(read_cells(QUESTION, size, held_out)),
    }
    return effects(runs, held_out.labels, held_out.groups, settings.bootstrap, settings.bootstrap_seed)


def by_arm(runs: Sequence[ScoredClassifier]) -> Runs:
    """Sort trainings by their arm."""
    found: dict[str, list[ScoredClassifier]] = {}
    for run in runs:
        found.setdefault(run.facts["arm"], []).append(run)
    return found


def effects(
    runs: Mapping[Budget, Runs], labels: Ints, groups: npt.NDArray[Any], draws: int, seed: int
) -> dict[str, Any]:
    """Say what synthetic images add to a score under each budget, and how far the two differ.

    All four means are of the same patients, and so are their draws: differences of them, and the difference of these
    differences, are paired. The chance of training is added as in `echosynth.evaluation.comparison`, its variance
    pooled over the arms of one budget: short trainings differ more by their seeds than long ones.

    Args:
        runs: budget -> arm -> its trainings, at least one each; arms beside real and synthetic count for the chance of
            training.
        labels: (N,) true views of the validation images.
        groups: (N,) their patients.
        draws: of the bootstrap; 0 for no intervals.
        seed: of the draws.

    Returns:
        macro_auprc and macro_f1, each with `steps` and `epochs`, synthetic less real images under that budget, and
        `change`, the latter less the former: `value` and `interval`, 95 %, None twice where there is none.
    """
    weights = np.concatenate([np.ones((1, len(labels))), resample(groups, draws, seed)])  # as they are, then drawn
    rng, added = np.random.default_rng((seed, 1)), dict[str, dict[str, Floats]]()
    for budget in BUDGETS:
        by = {arm: list(each) for arm, each in runs[budget].items()}
        made, real = (mean_draws(by[arm], labels, weights) for arm in (SYNTHETIC, REAL))
        added[budget] = {score: made[score] - real[score] for score in MACRO}
        singles = [[mean_draws([one], labels, weights[:1]) for one in each] for each in by.values()]
        variances, freedom = training_variance(singles)
        for score in MACRO if freedom else ():
            spread = np.sqrt(variances[score] * freedom / rng.chisquare(freedom, draws))
            spread *= np.sqrt(1 / len(by[SYNTHETIC]) + 1 / len(by[REAL]))
            added[budget][score][1:] += spread * rng.normal(size=draws)
    added[CHANGE] = {score: added["epochs"][score] - added["steps"][score] for score in MACRO}
    return {
        score: {
            which: {"value": known(values[score][0]), "interval": interval(values[score][1:])}
            for which, values in added.items()
        }
        for score in MACRO
    }
