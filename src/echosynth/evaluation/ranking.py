"""Early selection: does a ranking of architectures by a cheap training predict their ranking by the full one?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.evaluation.scores import interval, known

Floats = npt.NDArray[np.float64]
PERMUTATIONS = 10_000  # orders that chance is measured by


def kendall(first: Floats, second: Floats) -> Floats:
    """Kendall's tau-b (Kendall 1945, "The treatment of ties in ranking problems") of many pairs of rankings at once.

    Args:
        first: (R, A) scores of A architectures.
        second: (R, A).

    Returns:
        (R,) in [-1, 1]; NaN where one of both has all its scores equal.
    """
    left, right = np.triu_indices(first.shape[1], 1)
    signs = [np.sign(scores[:, left] - scores[:, right]) for scores in (first, second)]
    untied = [np.abs(sign).sum(1) for sign in signs]
    with np.errstate(invalid="ignore"):
        result: Floats = (signs[0] * signs[1]).sum(1) / np.sqrt(untied[0] * untied[1])
    return result


def choice(early: Floats, late: Floats) -> tuple[Floats, Floats]:
    """Say how good the architecture is that a ranking would have chosen.

    Args:
        early: (R, A) scores by which the best is chosen, the first of equal ones.
        late: (R, A) scores that count.

    Returns:
        Top-1 agreement (R,), 1 where the chosen one is (one of) the best, else 0; regret (R,), the score of the best
        less that of the chosen one.
    """
    chosen = np.take_along_axis(late, early.argmax(1)[:, None], axis=1)[:, 0]
    regret = late.max(1) - chosen
    return (regret == 0).astype(np.float64), regret


def resampled_means(scores: Sequence[Floats], rng: np.random.Generator) -> Floats:
    """Draw trainings anew.

    Args:
        scores: of each of A architectures (S, R): of its S trainings (seeds), with R draws of patients, of which the
            first is the patients as they are.
        rng: of the draws.

    Returns:
        (R, A): mean over the trainings in the first row, over trainings drawn with replacement in the others. Trainings
        of two architectures have nothing in common, so that those of each are drawn on their own.
    """
    columns = []
    for own in scores:
        picks = rng.integers(len(own), size=own.shape)
        picks[:, 0] = np.arange(len(own))
        columns.append(np.take_along_axis(own, picks, axis=0).mean(0))
    return np.stack(columns, axis=1)


def early_selection(
    early: Mapping[str, Sequence[Floats]], late: Sequence[Floats], against: str, seed: int
) -> dict[str, Any]:
    """Judge cheap rankings by the ranking that counts.

    Args:
        early: name of each cheap training -> scores of the architectures as `resampled_means` takes them.
        late: the same of the training that counts, in the same order of two architectures or more and with the same
            draws of patients.
        against: the name in `early` that the others are compared with.
        seed: of the draws of trainings.

    Returns:
        Name -> `tau`, `top1` and `regret`, each with `value`, 95 % `interval` over patients and trainings and, for
        `top1` and `regret`, what choosing at random gives (`random`); for `tau` the share of random orders that agree
        as well (`chance`). The interval of `top1` is left out: its mean over the draws, `share`, says how often the
        choice is right. `versus`: the differences to `against`, draw by draw.
    """
    rng = np.random.default_rng(seed)
    final = resampled_means(late, rng)
    means = {name: resampled_means(scores, rng) for name, scores in early.items()}
    orders = rng.permuted(np.repeat(final[:1], PERMUTATIONS, axis=0), axis=1)
    drawn, result = {}, {}
    for name, scores in means.items():
        top, regret = choice(scores, final)
        drawn[name] = {"tau": kendall(scores, final), "top1": top, "regret": regret}
        luck = kendall(np.repeat(scores[:1], PERMUTATIONS, axis=0), orders) >= drawn[name]["tau"][0]
        result[name] = {key: _summary(values) for key, values in drawn[name].items()}
        result[name]["tau"]["chance"] = float(luck.mean())
        result[name]["top1"] = {"value": top[0], "share": float(top[1:].mean()) if len(top) > 1 else None}
        result[name]["top1"]["random"] = float((final[0] == final[0].max()).mean())
        result[name]["regret"]["random"] = float(final[0].max() - final[0].mean())
    for name in means:
        if name != against:
            result[name]["versus"] = {
                key: _summary(values - drawn[against][key]) for key, values in drawn[name].items()
            }
    return result


def _summary(values: Floats) -> dict[str, Any]:
    return {"value": known(values[0]), "interval": interval(values[1:])}
