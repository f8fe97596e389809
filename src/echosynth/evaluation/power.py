"""What a comparison could have shown: the smallest difference that it would find, by simulation.

A study is a draw of patients and of trainings. Those that were not done are simulated from the stored predictions: the
difference of two arms moves with the patients as its bootstrap draws do, less by the root of their number where there
are more of them, and with the trainings as the variance over seeds says. Each simulated study estimates that variance
itself and judges as `echosynth.evaluation.comparison.compare` does, by whether the 95 % interval holds zero. That the
spread is the same for any true difference is assumed. (Of comparisons already made this says what they were able to
show, and not whether their result is true: Hoenig & Heisey 2001, "The abuse of power".)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from echosynth.evaluation.comparison import ScoredClassifier, mean_draws, training_variance
from echosynth.evaluation.scores import Ints, known, resample

Floats = npt.NDArray[np.float64]
LEVEL, POWER = 0.05, 0.8  # two-sided
STUDIES = 4000
WIDTHS = 17  # estimated deviations over seeds at which the interval is computed; between them it is interpolated
MANY = 1024  # times the patients, or the seeds, above which a question counts as out of reach
SCORES = ("macro_auprc", "rare_recall")  # those that `compare` gives differences of


@dataclass(frozen=True)
class Chance:
    """What the difference of two arms varies by.

    Attributes:
        draws: (R,) of the difference with other patients; their mean does not matter.
        patients: how many a draw has.
        variance: of one training of an arm, pooled over arms.
        arms: over which it is pooled: with n seeds each, arms (n - 1) degrees of freedom. 0: nothing is known of it.
        seeds: of each arm.
    """

    draws: Floats
    patients: int
    variance: float
    arms: int
    seeds: int


def detectable(chance: Chance, seed: int = 0, power: float = POWER) -> float:
    """Give the smallest difference that a study finds with so much power at a two-sided 5 %.

    A study whose estimate is off by e and whose interval reaches h below it finds each difference above h - e; the
    quantile of h - e over the simulated studies is what is asked for. Of the two directions the worse one counts.

    Args:
        chance: what differences vary by.
        seed: of the simulation; equal seeds draw equal chances.
        power: share of the studies that are to find it.

    Returns:
        The difference, 0 or more; NaN where no draw has a value.
    """
    draws = chance.draws[~np.isnan(chance.draws)]
    if not len(draws):
        return float("nan")
    rng, draws = np.random.default_rng(seed), draws - draws.mean()
    deviation = np.sqrt(2 * chance.variance / chance.seeds) if chance.arms else 0.0
    errors = rng.choice(draws, STUDIES) + deviation * rng.normal(size=STUDIES)
    if freedom := chance.arms * (chance.seeds - 1):
        estimates = deviation * np.sqrt(rng.chisquare(freedom, STUDIES) / freedom)
        student = rng.standard_t(freedom, STUDIES)
    else:
        estimates, student = np.zeros(STUDIES), np.zeros(STUDIES)
    grid = np.linspace(estimates.min(), estimates.max(), WIDTHS)
    patients = rng.choice(draws, STUDIES)
    ends = [np.quantile(patients + width * student, [LEVEL / 2, 1 - LEVEL / 2]) for width in grid]
    low, high = (np.interp(estimates, grid, end) for end in np.transpose(ends))
    return float(max(np.quantile(-low - errors, power), np.quantile(high + errors, power)))


def with_patients(chance: Chance, patients: int) -> Chance:
    """Take other numbers of patients: the spread goes with one over the root of their number."""
    return replace(chance, patients=patients, draws=chance.draws * np.sqrt(chance.patients / patients))


def patients_needed(chance: Chance, difference: float, seed: int = 0) -> int | None:
    """Give the least number of patients with which a difference is found, all else as it is; None where 1,024 times as
    many do not suffice, as where the trainings alone vary too much."""
    return _least(lambda n: detectable(with_patients(chance, n), seed), difference, 2, MANY * chance.patients)


def seeds_needed(chance: Chance, difference: float, seed: int = 0) -> int | None:
    """Give the least number of seeds of each arm, 2 or more, with which a difference is found, all else as it is; None
    where 1,024 times as many do not suffice, as where the patients are too few, and where nothing is known of the
    variance over seeds."""
    if not chance.arms:
        return None
    return _least(lambda n: detectable(replace(chance, seeds=n), seed), difference, 2, MANY * chance.seeds)


def both_needed(chance: Chance, difference: float, seed: int = 0) -> tuple[int | None, int | None]:
    """Give the least numbers of patients and of seeds, 2 or more, with which a difference is found where both grow in
    proportion; None twice where 1,024 times as many do not suffice."""

    def grown(seeds: int) -> Chance:
        patients = max(2, round(chance.patients * seeds / chance.seeds))
        return replace(with_patients(chance, patients), seeds=seeds)

    seeds = _least(lambda n: detectable(grown(n), seed), difference, 2, MANY * chance.seeds)
    return (None, None) if seeds is None else (grown(seeds).patients, seeds)


def _least(smallest: Callable[[int], float], difference: float, low: int, high: int) -> int | None:
    """Search for the least number in [low, high] at which `smallest`, which falls, is at most the difference."""
    if not smallest(high) <= difference:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if smallest(middle) <= difference else (middle + 1, high)
    return low


def chances(
    arms: dict[str, list[ScoredClassifier]],
    labels: Ints,
    groups: npt.NDArray[Any],
    draws: int,
    seed: int,
    base: str | None = None,
) -> dict[tuple[str, str, str], Chance]:
    """What the differences of all pairs of arms vary by.

    Args:
        arms: by name, of one subset and architecture, each with its runs (seeds).
        labels: (N,) true views of the images that they are scored on.
        groups: (N,) patients.
        draws: of the bootstrap over patients.
        seed: of these draws.
        base: the arm that pairs must have; None for all pairs.

    Returns:
        By score ("macro_auprc", "rare_recall"), first and second arm.
    """
    ones, weights = np.ones((1, len(labels))), resample(groups, draws, seed)
    samples = {arm: mean_draws(runs, labels, weights) for arm, runs in arms.items()}
    variance, freedom = training_variance([[mean_draws([run], labels, ones) for run in runs] for runs in arms.values()])
    several = len(arms) if freedom else 0
    fewest = min(map(len, arms.values()))
    return {
        (score, first, second): Chance(
            samples[first][score] - samples[second][score],
            len(np.unique(groups)),
            float(variance[score]) if several else 0.0,
            several,
            fewest,
        )
        for score in SCORES
        for first, second in combinations(arms, 2)
        if base in (None, first, second)
    }


def _needed(chance: Chance, difference: float) -> dict[str, Any] | None:
    """Numbers with which a difference is found: `patients` with the seeds as they are, `seeds` with the patients as
    they are, `both` in proportion; None for each that is out of reach, and for no difference at all."""
    if not difference:
        return None
    both = dict(zip(("patients", "seeds"), both_needed(chance, difference), strict=True)) if chance.arms else None
    return {
        "difference": difference,
        "patients": patients_needed(chance, difference),
        "seeds": seeds_needed(chance, difference),
        "both": both,
    }


def power_table(
    chance: Chance, observed: float | None, wanted: float, patients: Sequence[float], seeds: Sequence[int]
) -> dict[str, Any]:
    """Say what one comparison could have shown, and what it needs.

    Args:
        chance: what its difference varies by.
        observed: the difference that was found.
        wanted: the smallest difference that matters, above 0.
        patients: numbers to look at, as multiples of the study's own.
        seeds: numbers to look at, 2 or more.

    Returns:
        patients, seeds, over ("patients and trainings" or "patients"); `smallest`: difference that it could have shown;
        `for_wanted` and `for_observed`: numbers that the questions need, see `_needed`; `grid`: rows of patients, seeds
        and `smallest`. A score that the images cannot give is None.
    """
    result: dict[str, Any] = {
        "patients": chance.patients,
        "seeds": chance.seeds,
        "over": "patients and trainings" if chance.arms else "patients",
        "observed": observed,
        "smallest": known(detectable(chance)),
    }
    result |= {"for_wanted": _needed(chance, wanted), "for_observed": _needed(chance, abs(observed or 0))}
    result["grid"] = []
    for number in dict.fromkeys(max(2, round(times * chance.patients)) for times in patients):
        for count in seeds if chance.arms else [chance.seeds]:
            smallest = known(detectable(replace(with_patients(chance, number), seeds=count)))
            result["grid"].append({"patients": number, "seeds": count, "smallest": smallest})
    return result
