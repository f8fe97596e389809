"""Which files of the package a module is made of, by its own imports and theirs.

States of long work are keyed by these files (`echosynth.common.resume.code_hash`); the tests of dvc.yaml and of the
order of the rooms start from the same graph.
"""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def module_file(name: str) -> Path | None:
    """Source file of a dotted module of the package, such as "echosynth.diffusion.process"; None if there is none."""
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def imported_files(path: Path) -> frozenset[Path]:
    """Files of the package that a file imports itself, inside functions too.

    Modules that are found by name count all: `import_module(f"echosynth.sources.releases.{name}")`.
    """
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith(PACKAGE.name)]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            start = next((part.value for part in ast.walk(node) if isinstance(part, ast.Constant)), "")
            if isinstance(start, str) and start.startswith(f"{PACKAGE.name}."):
                found |= set(PACKAGE.joinpath(*start.strip(".").split(".")[1:]).glob("[!_]*.py"))
        found |= {file for name in names if (file := module_file(name))}
    return frozenset(found - {path})


def reached_files(start: Path, wanted: Callable[[Path], bool] = lambda path: True) -> frozenset[Path]:
    """A file and all that it imports, directly or not.

    Args:
        start: the file.
        wanted: false for files that count no more than what only they import.
    """
    seen, waiting = {start}, [start]
    while waiting:
        fresh = {path for path in imported_files(waiting.pop()) if wanted(path)} - seen
        seen |= fresh
        waiting.extend(fresh)
    return frozenset(seen)
