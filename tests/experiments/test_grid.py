"""Grids: everything is checked before anything is queued, and what is queued is what was meant."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml
from echosynth.config.presets import preset_names
from echosynth.experiments.grid import changed, experiment, literal, read_grid
from echosynth.experiments.search import read_space

ROOT = Path(__file__).parents[2]
Write = Callable[[str], Path]


def test_the_grids_of_the_project_are_allowed_and_no_presets() -> None:
    base = read_yaml(ROOT / "params.yaml")
    assert len(read_grid(ROOT / "params/sweeps/guidance.yaml", base).combinations()) == 6
    assert len(read_space(ROOT / "params/sweeps/search.yaml", base).parameters) == 3
    assert not {"guidance", "search", "sweeps"} & set(preset_names(ROOT / "params.yaml"))


def test_every_combination_once_the_last_parameter_fastest(base: dict[str, Any], write: Write) -> None:
    grid = read_grid(write("parameters:\n  classifier.steps: [10, 20]\n  classifier.augment: [0, 0.5]\n"), base)
    assert grid.combinations() == [
        {"classifier.steps": steps, "classifier.augment": eta} for steps in (10, 20) for eta in (0.0, 0.5)
    ]
    assert all(isinstance(values["classifier.augment"], float) for values in grid.combinations())
    assert (grid.goal.score, grid.goal.maximise, grid.goal.targets) == ("best.validation_macro_auprc", True, ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it has to hold `parameters:`"),
        ("parameters: [1]", "it has to hold `parameters:`"),
        ("parameters: {}", "it has to hold `parameters:`"),
        ("parameters: {classifier.augment: [0.1]}\nscor: x", "scor is not known; allowed here: parameters, score"),
        (
            "parameters: {classifier.augment: [0.1]}\ndirection: up",
            "direction = 'up' is not allowed; write maximize or minimize",
        ),
        ("parameters: {classifier.augment: [0.1]}\ntargets: report", "targets has to be a list of names"),
        ("parameters: {classifier.augment: [0.1]}\nscore: 3", "score = 3 is no name of a number"),
        (
            "parameters: {classifier.augmnt: [0.1]}",
            "classifier.augmnt is no parameter of params.yaml; did you mean classifier.augment?",
        ),
        (
            "parameters: {classifier.real_arms: [[real]]}",
            "classifier.real_arms is called arms.real today; rename it",
        ),
        ("parameters: {sample: [0.1]}", "sample is no parameter of params.yaml"),
        ("parameters: {fidelity.training: [1]}", "fidelity.training is no parameter of params.yaml"),
        ("parameters: {3: [0.1]}", "3 is no parameter of params.yaml"),
        ("parameters: {classifier.augment: [0.1]}\nseed: 1", "columns, targets; a seed is for `echosynth search`"),
        ("parameters: {classifier.augment: {low: 0, high: 1}}", "such as [0]; ranges are for `echosynth search`"),
        ("parameters: {classifier.augment: []}", "classifier.augment needs a list of one or more values, such as [0]"),
        ("parameters: {classifier.augment: 0.5}", "classifier.augment needs a list of one or more values"),
        ("parameters: {classifier.augment: [0, 0.0]}", "classifier.augment holds 0 twice"),
        (
            "parameters:\n  classifier.augment: [0.1]\n  classifier.augment: [0.2]",
            "classifier.augment stands there twice",
        ),
        (
            "parameters: {classifier.steps: [10, abc]}",
            "(classifier.steps = abc): classifier.steps = 'abc' is not allowed",
        ),
        ("parameters: {classifier.steps: [10, 10.5]}", "classifier.steps = 10.5 is not allowed"),
        ("parameters: {classifier.steps: [true]}", "classifier.steps = True is not allowed"),
        ("parameters: {classifier.augment: [2]}", "classifier.augment = 2.0 is not allowed"),
        ("parameters: {split.subsets: [100]}", "split.subsets = 100 is not allowed"),
        ("parameters: {diffusion.attention: [[5]]}", "diffusion.attention = 5 is the side of no level"),
        ("parameters: {classifier.augment: [", "is no valid YAML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_parameter(
    base: dict[str, Any], write: Write, text: str, sentence: str
) -> None:
    with pytest.raises(EchosynthError, match=f"grid.yaml.*{re.escape(sentence)}"):
        read_grid(write(text), base)


@pytest.fixture
def report(base: dict[str, Any]) -> None:
    """A report of one subset."""
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text(json.dumps({"test": {"macro_f1": 0.5}, "auprc": {"mixed_400": 0.5}}))


def test_a_score_that_no_report_has_is_refused_with_the_nearest(
    base: dict[str, Any], report: None, write: Write
) -> None:
    path = write("parameters: {classifier.augment: [0.1]}\nscore: test.macro_f")
    with pytest.raises(EchosynthError, match=r"score = test.macro_f is not in .*; did you mean test.macro_f1\?"):
        read_grid(path, base)
    path = write("parameters: {classifier.augment: [0.1]}\nscore: macro_f1")
    with pytest.raises(EchosynthError, match=r"score = 'macro_f1' is no name of a number"):
        read_grid(path, base)


def test_a_score_that_the_experiments_may_write_is_a_warning(
    base: dict[str, Any], report: None, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for score, warned in (("auprc.mixed_800", True), ("shift.macro_f1", True), ("auprc.mixed_400", False)):
        assert read_grid(write(f"parameters: {{classifier.augment: [0.1]}}\nscore: {score}"), base).goal.score == score
        assert (f"score = {score} is not in reports/metrics.json" in capsys.readouterr().err) == warned


def test_names_are_readable_unique_and_git_takes_them(base: dict[str, Any], write: Write) -> None:
    text = (
        "parameters:\n  classifier.learning_rate: [2.0e-05, 0.1]\n  split.subsets: [[100, all], [100, 400, all]]\n"
        "  data.salt_file: ['a b..c', '~^:?*.lock']\n  sample.guidance: [1, 1.5]"
    )
    grid = read_grid(write(text), base)
    names = [experiment(base, values, grid.goal, "here").name for values in grid.combinations()]
    assert len(set(names)) == 16
    assert names[0].startswith("learning_rate-2e-05_subsets-100+all_salt_file-a+b.c_")
    for name in names:
        subprocess.run(["git", "check-ref-format", f"refs/exps/ab/cd/{name}"], check=True)
        assert len(name) < 72 and not re.search(r"[^A-Za-z0-9._+-]", name)


def test_the_same_experiment_has_the_same_name_in_every_grid(base: dict[str, Any], write: Write) -> None:
    goal = read_grid(write("parameters: {classifier.augment: [0.5]}"), base).goal
    first = experiment(base, {"classifier.augment": 0.5, "sample.guidance": base["sample"]["guidance"]}, goal, "here")
    assert first.name[-8:] == experiment(base, {"classifier.augment": 0.5}, goal, "here").name[-8:]
    assert first.name[-8:] != experiment(base, {"classifier.augment": 0.5}, goal, "there").name[-8:]
    other = changed(base, {"sample.seed": base["sample"]["seed"] + 1})
    assert first.name[-8:] != experiment(other, {"classifier.augment": 0.5}, goal, "here").name[-8:]


scalars = (
    st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=12)
    | st.sampled_from(["all", "true", "null", "1e3", "7", "it's", "back\\", "back\\'s", "tcp://10.0.0.5:8786", "${x}"])
    # Words that YAML 1.1 takes for something else, and other numbers.
    | st.sampled_from(["yes", "off", "N", "1:30", "2026-01-01", "010", "0o10", "1_000", "0x1F", "<<", "~", "1.", ".5"])
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=scalars | st.lists(st.integers(0, 99) | st.sampled_from(["all", "a,b"]), min_size=1, max_size=3))
def test_dvc_writes_the_value_that_was_meant(tmp_path: Path, value: Any) -> None:
    """Through Hydra's parser and DVC's writer into params.yaml, and back by the project's own reader."""
    from dvc.utils.hydra import apply_overrides

    if isinstance(value, str) and "${" in value:
        return  # OmegaConf's interpolation; no parameter of the project holds one
    path = tmp_path / "params.yaml"
    path.write_text("data:\n  # Where it is.\n  root: here\n")
    apply_overrides(path, [f"data.root={literal(value)}"])
    found = read_yaml(path)["data"]["root"]
    assert found == value and type(found) is type(value)
