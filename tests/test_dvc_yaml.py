"""Both dvc.yaml against the code: DVC follows no imports, so a stage must list every module that it depends on."""

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml

from echosynth.config import Params

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "echosynth"
STAGES = {
    name: stage
    for file in ("dvc.yaml", "explore/dvc.yaml")
    for name, stage in yaml.safe_load((ROOT / file).read_text())["stages"].items()
}
# These change how work is started, shown, stored or tracked, not what comes out of it.
NEUTRAL = (
    *(
        "track/",
        "stages/__init__.py",
        "progress.py",
        "errors.py",
        "files.py",
        "paths.py",
        "config.py",
        "sections/",
        "yaml12.py",
        "git.py",
        "resume.py",
    ),
    *("images/workers.py", "images/journal.py", "images/preview.py", "launch.py"),
)
# These hold what the whole project agrees on; changing one is a new study anyway.
SHARED = ("views.py", "weights.py", "_torchvision.py", "__init__.py")
# Parameters that a stage reads and need not list, and why.
UNLISTED = {
    "data.root": "is part of the path of a dependency",
    "data.shift_sources": "of ingest-shift: is in the stage's name",
    "ingest.size": "changes data/sources, on which the stage depends",
    "ingest.resampling": "likewise",
    "ingest.workers": "changes no result",
}


def module_file(name: str) -> Path | None:
    """Source file of a dotted module of the package."""
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def imports(path: Path) -> frozenset[Path]:
    """Files of the package that a file imports, inside functions too, but not for type checking alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("echosynth"):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("echosynth")]
        found |= {file for name in names if (file := module_file(name))}
    # The registry imports adapters by name.
    return frozenset(found | set((path.parent / "releases").glob("[!_]*.py")) if path.name == "registry.py" else found)


def needed(path: Path, seen: frozenset[Path] = frozenset()) -> frozenset[Path]:
    """All files of the package that a file's result depends on."""
    seen |= {path}
    for file in imports(path):
        relative = file.relative_to(PACKAGE).as_posix()
        if file not in seen and not relative.startswith((*NEUTRAL, *SHARED)) and file.name != "__init__.py":
            seen = needed(file, seen)
    return seen


def read_parameters(source: str) -> set[str]:
    """Parameters that a stage's source names, as `params.section.key`; "section" where it takes a whole one."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id == "params" and parts[0] in Params.model_fields:
            fields = Params.model_fields[parts[0]].annotation.model_fields  # type: ignore[union-attr]
            found.add(".".join(parts[:2]) if len(parts) > 1 and parts[1] in fields else parts[0])
    return {key for key in found if not any(other.startswith(f"{key}.") for other in found)}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_every_parameter_that_its_module_reads(name: str) -> None:
    stage = STAGES[name]
    module = next(word for word in stage["cmd"].split() if word.startswith("echosynth.stages."))
    read = read_parameters((module_file(module) or PACKAGE).read_text()) - set(UNLISTED)
    # Of a section that is passed on as a whole something must be listed; what, only the modules below know.
    listed = {key for entry in stage["params"] for key in (entry, entry.partition(".")[0])}
    missing = [key for key in read if key not in listed and key.partition(".")[0] not in stage["params"]]
    assert not missing, f"stage {name} of dvc.yaml lacks parameters"


def test_parameters_are_found_in_the_source_of_a_stage() -> None:
    source = (
        "settings = params.sample\nuse(params.diffusion.steps, params.split.model_dump(), params.other, p.ingest.size)"
    )
    assert read_parameters(source) == {"sample", "diffusion.steps", "split"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_every_module_that_it_uses(name: str) -> None:
    stage = STAGES[name]
    module = next(word for word in stage["cmd"].split() if word.startswith("echosynth.stages."))
    listed = [ROOT / dep for dep in stage["deps"] if dep.startswith("src/")]
    missing = [
        file.relative_to(ROOT).as_posix()
        for file in needed(module_file(module) or PACKAGE)
        if not any(file == dep or dep in file.parents for dep in listed)
    ]
    assert not missing, f"stage {name} of dvc.yaml lacks dependencies"


@pytest.mark.parametrize("name", STAGES)
def test_listed_modules_and_parameters_exist_and_every_stage_is_described(name: str) -> None:
    stage = STAGES[name]
    assert stage["desc"]
    assert all((ROOT / dep).exists() for dep in stage["deps"] if dep.startswith("src/"))
    for key in stage["params"]:
        section, _, field = key.partition(".")
        model = Params.model_fields[section].annotation
        assert not field or field in model.model_fields, key  # type: ignore[union-attr]
