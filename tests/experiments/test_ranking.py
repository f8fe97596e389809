"""The ranking: best first, within the terminal, and the same by `dvc exp show`."""

import re
import shlex
from pathlib import Path

import pytest

from echosynth.experiments.grid import Goal
from echosynth.experiments.ranking import Row, command, table

GOAL = Goal(Path("grid.yaml"), "best.validation_macro_auprc", True, ("test.macro_auprc", "test.macro_f1"), ())
ROWS = [
    Row(
        f"guidance-{guidance}_evaluations-{evaluations}_0123456{number}",
        {"sample.guidance": guidance, "sample.evaluations": evaluations},
        {"best.validation_macro_auprc": score, "test.macro_auprc": 0.5, "test.macro_f1": 0.25},
    )
    for number, (guidance, evaluations, score) in enumerate([(1.0, 10, 0.8), (1.5, 10, 0.95), (2.0, 20, 0.9)])
]


def column(text: str, title: str) -> list[str]:
    """Cells below a title; no cell holds a space."""
    lines = [line.split() for line in text.splitlines()]
    return [line[lines[0].index(title)] for line in lines[1:]]


def test_best_first_with_parameters_and_scores() -> None:
    text = table(ROWS, GOAL, 200)
    assert column(text, "guidance") == ["1.5", "2", "1"]
    assert column(text, "validation_macro_auprc") == ["0.9500", "0.9000", "0.8000"]
    assert column(text, "experiment")[0] == ROWS[1].name
    assert column(text, "macro_f1") == ["0.2500"] * 3


def test_smallest_first_where_less_is_better() -> None:
    goal = Goal(GOAL.path, GOAL.score, False, (), ())
    assert column(table(ROWS, goal, 200), "guidance") == ["1", "2", "1.5"]


def test_those_without_a_score_come_last() -> None:
    rows = [Row("none", ROWS[0].values, {}), *ROWS, Row("nan", ROWS[0].values, {GOAL.score: float("nan")})]
    names = column(table(rows, GOAL, 200), "experiment")
    assert names[0] == ROWS[1].name and set(names[-2:]) == {"none", "nan"}


@pytest.mark.parametrize("width", [150, 100, 80, 70])
def test_it_fits_the_terminal(width: int) -> None:
    text = table(ROWS, GOAL, width)
    assert max(map(len, text.splitlines())) <= width
    assert column(text, "validation_macro_auprc") == ["0.9500", "0.9000", "0.8000"]
    assert [name[-8:] for name in column(text, "experiment")] == ["01234561", "01234562", "01234560"]
    assert ("macro_f1" in text) == (width > 80)  # names are cut before scores are left out


def test_what_all_have_in_common_has_no_column() -> None:
    rows = [Row(row.name, {**row.values, "classifier.seeds": [0]}, row.scores) for row in ROWS]
    assert table(rows, GOAL, 200) == table(ROWS, GOAL, 200) and command(rows, GOAL) == command(ROWS, GOAL)
    assert column(table(rows[:1], GOAL, 200), "seeds") == ["[0]"]


def test_names_that_end_alike_are_shown_in_full() -> None:
    rows = [Row("a", {"fidelity.seed": 1, "sample.seed": 2}, {GOAL.score: 0.5})]
    assert table(rows, GOAL, 200).splitlines()[0].split() == [
        "experiment",
        "fidelity.seed",
        "sample.seed",
        "validation_macro_auprc",
    ]


def test_the_command_keeps_these_columns_alone() -> None:
    words = shlex.split(command(ROWS, GOAL))
    assert words[:4] == ["dvc", "exp", "show", "--only-changed"]
    drop = re.compile(words[words.index("--drop") + 1])
    kept = ["Experiment", "sample.guidance", "sample.evaluations", "best.validation_macro_auprc"]
    gone = ["Created", "State", "Executor", "rev", "typ", "parent", "src/train.py", "test.macro_f1", "sample.guidance2"]
    assert [name for name in kept + gone if not drop.match(name)] == kept
    assert words[-4:] == ["--sort-by", "best.validation_macro_auprc", "--sort-order", "desc"]
