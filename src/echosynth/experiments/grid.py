"""Files that say which experiments are wanted: a grid of values, or a space to search. Everything is checked here,
against params.yaml, before anything is queued."""

import itertools
import math
import re
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from echosynth.common.errors import EchosynthError
from echosynth.common.files import fingerprint, read_json
from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import FORMER, flat_tree, parse_params
from echosynth.experiments.queue import METRICS, Experiment

SCORE = "best.validation_macro_auprc"
COLUMNS = ("test.macro_auprc", "test.macro_f1", "best.validation_macro_f1")
FIXED = ("best", "test", "shift")  # branches of the report whose names depend on no parameter, such as the subsets
LONGEST_NAME = 56
Values = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """What all files of experiments say.

    Attributes:
        path: the file.
        score: the number to rank by, as in reports/metrics.json: "branch.leaf".
        maximise: whether more is better.
        columns: further numbers to show.
        targets: stages to run; empty for all. The stage that writes the score has to be among what they need.
    """

    path: Path
    score: str
    maximise: bool
    columns: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """Every combination of some values: parameter -> its values, and what they are ranked by."""

    goal: Goal
    parameters: dict[str, list[Any]]

    def combinations(self) -> list[Values]:
        """List all combinations, parameter -> value, the last parameter changing fastest."""
        return [
            dict(zip(self.parameters, values, strict=True)) for values in itertools.product(*self.parameters.values())
        ]


def read_goal(path: Path, own: Sequence[str] = ()) -> tuple[Goal, dict[str, Any]]:
    """Read what grids and spaces have in common.

    Args:
        path: the YAML file.
        own: further keys that it may have.

    Returns:
        The goal, and the file as it is read.

    Raises:
        EchosynthError: the file is no mapping with `parameters`, or something in it is not known or of a wrong type.
    """
    content = read_yaml(path)
    keys = ["parameters", "score", "direction", "columns", "targets", *own]
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict) or not content["parameters"]:
        raise EchosynthError(f"{path}: it has to hold `parameters:` with at least one parameter and its values")
    if unknown := [key for key in content if key not in keys]:
        search = "; a seed is for `echosynth search`" if unknown[0] == "seed" else ""
        raise EchosynthError(f"{path}: {unknown[0]} is not known; allowed here: {', '.join(keys)}{search}")
    direction = content.get("direction", "maximize")
    if direction not in ("maximize", "minimize"):
        raise EchosynthError(f"{path}: direction = {direction!r} is not allowed; write maximize or minimize")
    for key in ("columns", "targets"):
        value = content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise EchosynthError(f"{path}: {key} has to be a list of names")
    score = content.get("score", SCORE)
    _check_score(path, score)
    columns = tuple(name for name in content.get("columns", COLUMNS) if name != score)
    return Goal(path, score, direction == "maximize", columns, tuple(content.get("targets", []))), content


def read_grid(path: Path, base: Mapping[str, Any]) -> Grid:
    """Read and check a grid.

    Args:
        path: the YAML file, see docs/experiments.md.
        base: params.yaml as it is read.

    Raises:
        EchosynthError: naming file and parameter, for what `read_goal` says, an unknown parameter, an empty list, a
            value that stands there twice, and every combination that params.yaml could not hold.
    """
    goal, content = read_goal(path)
    parameters: dict[str, list[Any]] = {}
    for key, values in content["parameters"].items():
        old = known(base, key, path)
        if not isinstance(values, list) or not values:
            ranges = "; ranges are for `echosynth search`" if isinstance(values, dict) else ""
            raise EchosynthError(f"{path}: {key} needs a list of one or more values, such as [{short(old)}]{ranges}")
        parameters[key] = [like(old, value) for value in values]
        seen: list[Any] = []
        for value in parameters[key]:
            if value in seen:
                raise EchosynthError(f"{path}: {key} holds {short(value)} twice; each value stands there once")
            seen.append(value)
    grid = Grid(goal, parameters)
    for values in grid.combinations():
        check(base, values, path)
    return grid


def known(base: Mapping[str, Any], key: object, path: Path) -> Any:
    """Look up the value of a parameter in params.yaml.

    Raises:
        EchosynthError: there is no such parameter, it is called otherwise today, or it is a section.
    """
    names = flat_tree(base)
    if key in FORMER:
        raise EchosynthError(f"{path}: {key} is called {FORMER[str(key)]} today; rename it")
    if not isinstance(key, str) or key not in names:
        near = get_close_matches(str(key), names, n=1)
        meant = f"; did you mean {near[0]}?" if near else "; write it as section.key"
        raise EchosynthError(f"{path}: {key} is no parameter of params.yaml{meant}")
    return names[key]


def like(old: Any, value: Any) -> Any:
    """Turn `value` into a float where params.yaml holds one: 2 and 2.0 are the same experiment."""
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def changed(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put other values into a copy of params.yaml as it is read."""
    tree = deepcopy(dict(base))
    for key, value in values.items():
        *sections, last = key.split(".")
        branch = tree
        for section in sections:
            branch = branch[section]
        branch[last] = value
    return tree


def check(base: Mapping[str, Any], values: Mapping[str, Any], path: Path) -> None:
    """Refuse values that params.yaml could not hold, so that `-S`, which checks no types, carries none into a run.

    Raises:
        EchosynthError: naming the file, the combination and the parameter.
    """
    together = ", ".join(f"{key} = {short(value)}" for key, value in values.items())
    parse_params(changed(base, values), f"{path} ({together})")


def experiment(base: Mapping[str, Any], values: Mapping[str, Any], goal: Goal, origin: str) -> Experiment:
    """Plan the DVC experiment of some values.

    Its name shows the values, and ends with eight digits that depend on all parameters, the stages to run and the
    state of code and data: the same name is the same experiment, in whatever grid it stands.
    """
    shown = "_".join(f"{key.rpartition('.')[2]}-{_word(value)}" for key, value in values.items())
    identity = fingerprint(origin, changed(base, values), goal.targets)[:8]
    overrides = tuple(f"{key}={literal(value)}" for key, value in values.items())
    return Experiment(
        f"{shown[:LONGEST_NAME].rstrip('.-_')}-{identity}", overrides, goal.targets, origin, fingerprint(base)
    )


def literal(value: Any) -> str:
    """Write a value in Hydra's override syntax: text always quoted, floats always with a point or an exponent."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        from hydra.core.override_parser.types import Quote, QuotedString

        return str(QuotedString(value, Quote.single).with_quotes())
    if isinstance(value, list):
        return f"[{','.join(map(literal, value))}]"
    return repr(value)


def short(value: Any) -> str:
    """Write a value as a person does, with four digits at most."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return f"[{', '.join(map(short, value))}]" if isinstance(value, list) else str(value)


def _check_score(path: Path, score: object) -> None:
    """Refuse a score that no report can have, and warn of one that the present report does not have."""
    if not isinstance(score, str) or not all(score.partition(".")):
        raise EchosynthError(f"{path}: score = {score!r} is no name of a number in {METRICS}, such as {SCORE}")
    names = flat_tree(read_json(METRICS)) if Path(METRICS).is_file() else {}
    if not names or score in names:
        return
    near = get_close_matches(score, names, n=1) or [SCORE]
    branch = score.partition(".")[0]
    if branch in FIXED and any(name.startswith(f"{branch}.") for name in names):
        raise EchosynthError(f"{path}: score = {score} is not in {METRICS}; did you mean {near[0]}?")
    print(
        f"{path}: score = {score} is not in {METRICS} as it is now (the nearest there is {near[0]}); the experiments "
        "have to write it",
        file=sys.stderr,
        flush=True,
    )


def _word(value: Any) -> str:
    """A value as a part of a name that git and shells take."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "+", short(value).strip("[]")).replace("..", ".").strip(".+-") or "none"
