"""The import graph, on which resume keys and the tests of the pipelines rest."""

from pathlib import Path

import pytest

from echosynth.common import imports
from echosynth.common.imports import imported_files, module_file, reached_files
from echosynth.common.resume import code_hash


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in which `start` imports at the top, in a function and by name."""
    folder = tmp_path / "echosynth"
    files = {
        "start.py": "from echosynth.room import low\n\n\ndef late():\n    import echosynth.room.later\n",
        "room/__init__.py": "",
        "room/low.py": "from echosynth.found import registry\n",
        "room/later.py": "",
        "room/alone.py": "",
        "found/__init__.py": "",
        "found/registry.py": "import_module(f'echosynth.found.{name}')\n",
        "found/one.py": "",
        "found/two.py": "import os\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(imports, "PACKAGE", folder)
    imported_files.cache_clear()
    return folder


def names(package: Path, files: frozenset[Path]) -> set[str]:
    return {path.relative_to(package).as_posix() for path in files if path.name != "__init__.py"}


def test_imports_count_at_the_top_in_functions_and_by_name(package: Path) -> None:
    assert names(package, imported_files(package / "start.py")) == {"room/low.py", "room/later.py"}
    everything = {"start.py", "room/low.py", "room/later.py", "found/registry.py", "found/one.py", "found/two.py"}
    assert names(package, reached_files(package / "start.py")) == everything


def test_what_is_not_wanted_counts_no_more_than_what_it_alone_imports(package: Path) -> None:
    reached = reached_files(package / "start.py", lambda path: path.name != "low.py")
    assert names(package, reached) == {"start.py", "room/later.py"}


def test_a_code_hash_follows_what_is_imported_and_nothing_else(package: Path) -> None:
    before = code_hash("echosynth.start")
    (package / "room" / "alone.py").write_text("VALUE = 1\n")
    assert code_hash("echosynth.start") == before
    (package / "found" / "two.py").write_text("import sys\n")
    assert code_hash("echosynth.start") != before


def test_a_module_that_is_none_has_no_hash(package: Path) -> None:
    assert module_file("echosynth.room.nothing") is None
    with pytest.raises(ModuleNotFoundError, match=r"echosynth\.room\.nothing is no module"):
        code_hash("echosynth.room.nothing")
