"""Searches with Optuna, each trial a DVC experiment on the same path as a sweep."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echosynth.common.errors import EchosynthError
from echosynth.common.files import explained, fingerprint, workspace
from echosynth.experiments import queue
from echosynth.experiments.grid import Goal, Values, check, experiment, known, like, read_goal, short
from echosynth.experiments.ranking import Row
from echosynth.experiments.sweep import execute

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

NAME = "experiment"  # attribute of a trial
RANGE = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes:
        goal: the score, and which way is better.
        parameters: parameter -> list of choices, or {low, high} with log or step.
        seed: of the sampler.
        base: params.yaml as it is read.
    """

    goal: Goal
    parameters: dict[str, Any]
    seed: int
    base: Mapping[str, Any]

    def study_name(self, origin: str) -> str:
        """Return the name of the file, and digits that depend on what the space and params.yaml hold and on the state
        of code and data (see `queue.origin`): others never meet."""
        goal = (self.goal.score, self.goal.maximise, self.goal.targets)
        return f"{self.goal.path.stem}-{fingerprint(self.parameters, self.seed, goal, self.base, origin)}"


def read_space(path: Path, base: Mapping[str, Any]) -> Space:
    """Read and check a space.

    Args:
        path: the YAML file, see docs/experiments.md.
        base: params.yaml as it is read.

    Raises:
        EchosynthError: naming file and parameter, for what `grid.read_goal` says, an unknown parameter, a range that is
            none, and an end of a range or a choice that params.yaml could not hold.
    """
    goal, content = read_goal(path, ["seed"])
    seed = content.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise EchosynthError(f"{path}: seed = {seed!r} is no whole number of 0 or more")
    parameters: dict[str, Any] = {}
    for key, said in content["parameters"].items():
        old = known(base, key, path)
        if isinstance(said, list):
            parameters[key] = _choices(path, key, [like(old, value) for value in said])
            ends = parameters[key]
        else:
            parameters[key] = _range(path, key, said, old)
            ends = [parameters[key]["low"], parameters[key]["high"]]
        for end in ends:
            check(base, {key: end}, path)
    return Space(goal, parameters, seed, base)


def search(space: Space, trials: int) -> list[Row]:
    """Run trials until there are so many, those of earlier calls and those that failed included.

    Trial n depends on the space, the seed and the scores of the trials before it alone, wherever it was interrupted.
    One that was killed is taken up again, and one without a score is recorded as failed. Scores of another state of
    code or data say nothing here: with another one the search starts anew.

    Returns:
        A row for each trial, in their order.

    Raises:
        EchosynthError: Optuna is missing, this search runs already, code or data changed meanwhile, or see
            `sweep.execute`.
    """
    origin = queue.origin()
    with _opened(space, origin) as study:
        while True:
            begun = [trial for trial in study.trials if not trial.state.is_finished()]
            if not begun and len(study.trials) >= trials:
                break
            if queue.origin() != origin:
                raise EchosynthError(
                    f"{space.goal.path}: commit, code or data changed during the search; call it again to search anew "
                    "from the new state"
                )
            _one(study, space, begun[0] if begun else _asked(study, space, origin), origin)
        return [_row(space, trial) for trial in study.trials]


def _one(study: "Study", space: Space, trial: "FrozenTrial", origin: str) -> None:
    """Run one trial and record how it ended."""
    from optuna.trial import TrialState

    score, reason = _result(space, trial, origin)
    if reason:
        print(f"trial {trial.number} failed: {reason}", file=sys.stderr, flush=True)
        study.tell(trial.number, state=TrialState.FAIL)
    else:
        print(f"trial {trial.number}: {space.goal.score} = {short(score)}", file=sys.stderr, flush=True)
        study.tell(trial.number, score)


def _result(space: Space, trial: "FrozenTrial", origin: str) -> tuple[float, str]:
    """Score of a trial, or nan and the reason why there is none."""
    if NAME not in trial.user_attrs:
        return math.nan, "it was stopped before its parameters were chosen"
    values = _values(space, trial)
    together = ", ".join(f"{key} = {short(value)}" for key, value in values.items())
    print(f"trial {trial.number}: {together}", file=sys.stderr, flush=True)
    try:
        check(space.base, values, space.goal.path)
    except EchosynthError as error:
        return math.nan, str(error)
    planned = experiment(space.base, values, space.goal, origin)
    failed = execute([planned], 1, f"trial {trial.number}")
    if failure := failed.get(planned.name):
        return math.nan, ": ".join([f"{planned.name} {failure.why}", *failure.log[-1:]])
    score = queue.scores(planned.name).get(space.goal.score, math.nan)
    return score, f"{planned.name} has no {space.goal.score} in {queue.METRICS}" if math.isnan(score) else ""


@contextmanager
def _opened(space: Space, origin: str) -> Iterator["Study"]:
    """The study of this space, kept in a SQLite file of the workspace, held by one process at a time."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise EchosynthError("searches need Optuna; run `pip install -r requirements-extra.txt`") from None
    from filelock import FileLock, Timeout

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = space.study_name(origin)
    path = workspace() / ".resume" / "search" / f"{name}.db"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    earlier = [study.stem.rpartition("-")[0] for study in path.parent.glob("*.db")]
    if not path.exists() and space.goal.path.stem in earlier:
        print(
            f"{space.goal.path}: the space, params.yaml, the commit, code or data are others than those of earlier "
            "searches; this one starts anew",
            file=sys.stderr,
            flush=True,
        )
    try:
        with FileLock(path.with_suffix(".lock"), timeout=0):
            yield optuna.create_study(
                storage=f"sqlite:///{path}",
                study_name=name,
                direction="maximize" if space.goal.maximise else "minimize",
                load_if_exists=True,
            )
    except Timeout:
        raise EchosynthError(
            f"{space.goal.path} is being searched by another process; wait for it or stop it"
        ) from None


def _asked(study: "Study", space: Space, origin: str) -> "FrozenTrial":
    """A new trial."""
    from optuna.samplers import TPESampler

    # A sampler of its own for each trial: one that is seeded once would draw the same again in the next call.
    study.sampler = TPESampler(seed=space.seed + len(study.trials))
    distributions = {key: _distribution(said) for key, said in space.parameters.items()}
    trial = study.ask(distributions)
    values = _values(space, study.trials[trial.number])
    trial.set_user_attr(NAME, experiment(space.base, values, space.goal, origin).name)
    return study.trials[trial.number]


def _distribution(said: Any) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(said, list):
        return CategoricalDistribution([json.dumps(choice) for choice in said])  # lists are choices too
    low, high, log, step = (said.get(key) for key in RANGE)
    if isinstance(low, int):
        return IntDistribution(low, high, log=bool(log), step=step or 1)
    return FloatDistribution(low, high, log=bool(log), step=step)


def _values(space: Space, trial: "FrozenTrial") -> Values:
    """Parameter -> value of a trial, in the order of the file."""
    return {
        key: json.loads(trial.params[key]) if isinstance(said, list) else trial.params[key]
        for key, said in space.parameters.items()
        if key in trial.params
    }


def _row(space: Space, trial: "FrozenTrial") -> Row:
    """A trial in the ranking; one that was stopped at its very start has no parameters."""
    name = trial.user_attrs.get(NAME, f"trial {trial.number}")
    scores = {} if trial.value is None else queue.scores(name) | {space.goal.score: trial.value}
    return Row(name, dict.fromkeys(space.parameters, "-") | _values(space, trial), scores)


def _choices(path: Path, key: str, values: list[Any]) -> list[Any]:
    if len(values) < 2:
        raise EchosynthError(f"{path}: {key} needs two or more choices")
    if any(value in values[:index] for index, value in enumerate(values)):
        raise EchosynthError(f"{path}: {key} holds a choice twice; each stands there once")
    return values


def _range(path: Path, key: str, said: Any, old: Any) -> dict[str, Any]:
    """A range with numbers of one type.

    Raises:
        EchosynthError: it is none.
    """
    if not isinstance(said, dict) or not {"low", "high"} <= said.keys() or said.keys() - set(RANGE):
        raise EchosynthError(f"{path}: {key} needs a list of choices, or low and high with log or step")
    numbers = {name: like(old, said[name]) for name in ("low", "high", "step") if name in said}
    for name, value in numbers.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise EchosynthError(f"{path}: {name} of {key} = {value!r} is no number")
    log = said.get("log", False)
    if not isinstance(log, bool):
        raise EchosynthError(f"{path}: log of {key} = {log!r} is not allowed; write true or false")
    if len({type(value) for value in numbers.values()}) > 1:
        numbers = {name: float(value) for name, value in numbers.items()}
    if not numbers["low"] < numbers["high"]:
        raise EchosynthError(f"{path}: low of {key} has to be below high")
    if log and ("step" in numbers or numbers["low"] <= 0):
        raise EchosynthError(f"{path}: {key} with log: true needs low above 0 and no step")
    if numbers.get("step", 1) <= 0:
        raise EchosynthError(f"{path}: step of {key} has to be above 0")
    return {**numbers, "log": log}
