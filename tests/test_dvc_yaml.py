"""The pipelines against the code: DVC follows no imports, so a stage must list every room that it depends on."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from echosynth.common.imports import PACKAGE, module_file, reached_files
from echosynth.config.parameters import Params

ROOT = Path(__file__).parents[1]
STAGES = {
    name if file in ("dvc.yaml", "data/raw/dvc.yaml") else f"{Path(file).parent}/{name}": stage
    for file in ("dvc.yaml", "data/raw/dvc.yaml", "explore/dvc.yaml", "study/dvc.yaml")
    for name, stage in yaml.safe_load((ROOT / file).read_text())["stages"].items()
}
# These rooms start, show, keep and track what is done; what comes out of it is not theirs.
AROUND = ("common", "config", "tracking", "registry")
# Parameters that a stage reads and need not list, and why; of one stage alone where its name stands before.
UNLISTED = {
    "data.root": "is part of the path of a dependency",
    "explore.subset": "likewise",
    "data.salt_file": "data.salt_id says what is in it",
    "data.shift_sources": "of screen-shift and ingest-shift: is in the stage's name",
    "ingest.size": "changes data/sources, on which the stage depends",
    "ingest.resampling": "likewise",
    "ingest.square_pixels": "likewise",
    "ingest.workers": "changes no result",
    "classify-baseline: arms": "is in the stage's name",
}


def stage_module(stage: dict[str, str]) -> Path:
    """The module that a stage runs."""
    name = next(word for word in stage["cmd"].split() if word.startswith("echosynth.stages."))
    file = module_file(name)
    assert file, f"{name} of a stage's command is no module"
    return file


def needed(module: Path) -> set[str]:
    """What a stage must list for its module: the module, and the rooms that it imports."""
    files = reached_files(module, lambda path: room(path) not in AROUND and path.name != "__init__.py")
    return {f"src/echosynth/{room(path)}" for path in files - {module}} | {module.relative_to(ROOT).as_posix()}


def room(path: Path) -> str:
    """The room of a module."""
    return path.relative_to(PACKAGE).parts[0]


def is_parameter(parts: list[str]) -> bool:
    """Whether a section, or the key of one, has this name."""
    model: Any = Params
    for part in parts:
        if part not in getattr(model, "model_fields", {}):
            return False
        model = model.model_fields[part].annotation
    return True


def above(key: str) -> set[str]:
    """A parameter and the sections that it is in."""
    parts = key.split(".")
    return {".".join(parts[: n + 1]) for n in range(len(parts))}


def read_parameters(source: str) -> set[str]:
    """Parameters that a stage's source names, as `params.section.key`; "section" where it takes a whole one, which may
    stand in another."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id == "params" and parts[0] in Params.model_fields:
            known = next(n for n in range(len(parts), 0, -1) if is_parameter(parts[:n]))
            found.add(".".join(parts[:known]))
    return {key for key in found if not any(other.startswith(f"{key}.") for other in found)}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_every_parameter_that_its_module_reads(name: str) -> None:
    stage = STAGES[name]
    read = read_parameters(stage_module(stage).read_text()) - {key.removeprefix(f"{name}: ") for key in UNLISTED}
    # Of a section that is passed on as a whole something must be listed; what, only the modules below know.
    listed = set().union(*map(above, stage["params"]))
    missing = [key for key in read if key not in listed and not above(key) & set(stage["params"])]
    assert not missing, f"stage {name} of dvc.yaml lacks parameters"


def test_parameters_are_found_in_the_source_of_a_stage() -> None:
    source = (
        "settings = params.sample\nuse(params.diffusion.steps, params.split.model_dump(), params.other, p.ingest.size)"
        "\nuse(params.explore.reference.along, params.diffusion.autoencoder)"
    )
    found = {"sample", "diffusion.steps", "split", "explore.reference.along", "diffusion.autoencoder"}
    assert read_parameters(source) == found


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_its_module_and_the_rooms_that_it_uses_and_no_others(name: str) -> None:
    stage = STAGES[name]
    listed = {dep for dep in stage["deps"] if dep.startswith("src/")}
    rooms = needed(stage_module(stage))
    assert rooms - listed == set(), f"stage {name} lacks what it imports"
    assert listed - rooms == set(), f"stage {name} lists what it does not import"


def test_edits_of_pages_and_of_tracking_train_nothing_again() -> None:
    for name in ("feature-network", "diffusion", "sample", "classify-real", "classify-synthetic"):
        rooms = needed(stage_module(STAGES[name]))
        assert not {f"src/echosynth/{room}" for room in ("report", "cli", "tracking", "registry", "serving")} & rooms


@pytest.mark.parametrize(
    ("group", "lists"),
    [("real", ["arms.real"]), ("synthetic", ["arms.synthetic", "arms.all_counts_as"]), ("baseline", [])],
)
def test_other_arms_in_one_list_train_those_of_no_other_list_again(group: str, lists: list[str]) -> None:
    assert [key for key in STAGES[f"classify-{group}"]["params"] if key.startswith("arms")] == [
        *lists,
        "arms.keep_weights",
    ]


@pytest.mark.parametrize("name", STAGES)
def test_listed_modules_and_parameters_exist_and_every_stage_is_described(name: str) -> None:
    stage = STAGES[name]
    assert stage["desc"]
    assert all((ROOT / dep).exists() for dep in stage["deps"] if dep.startswith("src/"))
    assert all(is_parameter(key.split(".")) for key in stage["params"])
