"""The order of the rooms: an import points only downwards, and never in a circle."""

import ast
from itertools import pairwise

import pytest

from echosynth.common.imports import PACKAGE, imported_files

# From the top down; rooms on one line do not know each other.
FLOORS = (
    ("stages", "cli"),
    ("report", "experiments", "explorations"),
    ("planning",),
    ("thesis",),
    ("registry",),
    ("serving",),
    ("tracking",),
    ("config",),
    ("ingest", "baselines"),
    ("screening", "diffusion", "evaluation", "phantom"),
    ("classifier", "splits"),
    ("imagesets", "media", "sources"),
    ("compute",),
    ("common",),
)
ROOMS = [room for floor in FLOORS for room in floor]
# Numbers come from here; MLflow and DVC are a view of them, and stay outside.
NUMERICS = (
    "ingest",
    "baselines",
    "screening",
    "diffusion",
    "evaluation",
    "classifier",
    "splits",
    "imagesets",
    "media",
    "sources",
)


def rooms_used(room: str) -> set[str]:
    """Rooms that the modules of a room import."""
    files = {file for path in (PACKAGE / room).rglob("*.py") for file in imported_files(path)}
    return {file.relative_to(PACKAGE).parts[0] for file in files if file.parent != PACKAGE} - {room}


def test_every_folder_of_the_package_is_a_room() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ROOMS)
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"], "modules live in rooms"


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_downwards(room: str) -> None:
    floor = next(number for number, rooms in enumerate(FLOORS) if room in rooms)
    below = {name for rooms in FLOORS[floor + 1 :] for name in rooms}
    assert rooms_used(room) <= below, f"{room} imports from its own floor or from above"


@pytest.mark.parametrize("room", [*NUMERICS, "phantom", "compute"])
def test_numerics_know_neither_mlflow_nor_dvc(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & {"mlflow", "dvc"}, path


# A file from outside is decoded in a process of its own.
IN_A_CHILD = {"serving/requests.py", "ingest/frames.py"}  # what they do with it is a job for a child


def test_nobody_else_decodes_files_in_its_own_process() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if path.parent.name == "media" or name in IN_A_CHILD:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("echosynth.media."):
                module = str(node.module).rpartition(".")[2]
                assert module not in ("dicom", "video", "ffmpeg", "mjpeg", "volume"), name
                read = {alias.name for alias in node.names} & {"read_stream", "read_frame", "read_clip"}
                assert module == "apart" or not read, name


def test_every_room_says_what_it_is_for() -> None:
    for folder in [path.parent for path in PACKAGE.rglob("__init__.py")]:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_no_two_modules_import_each_other_in_a_circle() -> None:
    def circle(path: list[object]) -> list[object]:
        for file in imported_files(path[-1]):  # type: ignore[arg-type]
            if file in path:
                return [*path[path.index(file) :], file]
            if file not in done and (found := circle([*path, file])):
                return found
        done.add(path[-1])
        return []

    done: set[object] = set()
    for start in PACKAGE.rglob("*.py"):
        found = circle([start])
        assert not found, " -> ".join(str(a) for a, _ in pairwise([*found, found[-1]]))
