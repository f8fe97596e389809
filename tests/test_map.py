"""The newcomer's map against the project: diagrams, the table of stages, names and sentences that pages quote."""

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
import yaml
from tests.test_rooms import FLOORS, ROOMS, rooms_used

from echosynth.common.imports import PACKAGE
from echosynth.config.parameters import load_params

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs/architecture.md"
GUIDES = [
    ROOT / f"docs/{name}.md" for name in ("data", "diffusion", "experiments", "judging", "phantom", "registry", "teams")
]
WRAPPED = [ROOT / "README.md", ARCHITECTURE, ROOT / "CONTRIBUTING.md", ROOT / "findings/README.md"]
FINDINGS = sorted((ROOT / "findings").glob("*.sh"))
# decisions.md tells what was, under the names of its day.
PAGES = [*WRAPPED, *GUIDES, ROOT / "bench/README.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TRACKED = ("src/", "tests/", "bench/", "docs/", "params/", "explore/", "study/", "findings/")

Edges = set[tuple[str, str]]


def arrows(page: Path) -> Edges:
    """All `a --> b` of a page's mermaid diagrams."""
    diagrams = "\n".join(body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == "mermaid")
    return set(re.findall(r"^ *([\w-]+) --> ([\w-]+)$", diagrams, re.MULTILINE))


def reduced(edges: Edges) -> Edges:
    """The arrows of an acyclic graph that no longer way implies."""
    after: dict[str, set[str]] = {}
    for start, end in edges:
        after.setdefault(start, set()).add(end)

    @cache
    def reached(node: str) -> frozenset[str]:
        return frozenset(after.get(node, ())).union(*(reached(end) for end in after.get(node, ())))

    return {(start, end) for start, end in edges if not any(end in reached(other) for other in after[start])}


def written(edges: Iterable[tuple[str, str]]) -> str:
    """Arrows as they stand in a diagram."""
    return "\n".join(f"    {start} --> {end}" for start, end in sorted(edges))


@pytest.fixture(scope="module")
def stage_edges() -> Edges:
    """Who makes what another stage reads, from DVC itself, without the instances of a matrix."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DVC_ROOT", raising=False)
        from dvc.repo import Repo

        if load_params(ROOT / "params.yaml").data.root != "data/raw/phantom":
            pytest.skip("the pages draw the pipeline of the demo data")
        with Repo(str(ROOT)) as repo:
            named = [[stage.name.partition("@")[0] for stage in edge] for edge in repo.index.graph.edges]
    return {(maker, reader) for reader, maker in named if maker != reader}


def test_arrows_that_others_imply_are_left_out() -> None:
    assert reduced({("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}) == {("a", "b"), ("b", "c"), ("a", "d")}


def test_the_diagram_of_the_pipeline_is_the_graph_of_dvc(stage_edges: Edges) -> None:
    wanted = reduced(stage_edges)
    assert arrows(ROOT / "README.md") == wanted, f"README.md should draw\n{written(wanted)}"


def test_the_diagram_of_the_rooms_is_the_graph_of_imports() -> None:
    wanted = reduced({(room, used) for room in ROOMS for used in rooms_used(room)})
    assert arrows(ARCHITECTURE) == wanted, f"docs/architecture.md should draw\n{written(wanted)}"


def test_every_room_is_told_of_in_its_order() -> None:
    told = re.findall(r"^\| `(\w+)/` \|", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(told) == sorted(ROOMS)
    floors = [next(number for number, rooms in enumerate(FLOORS) if room in rooms) for room in told]
    assert floors == sorted(floors), "from the top down"


def test_the_table_of_stages_says_what_each_depends_on(stage_edges: Edges) -> None:
    pipeline = {
        name: stage
        for file in ("data/raw/dvc.yaml", "dvc.yaml")
        for name, stage in yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["stages"].items()
    }
    wanted = []
    for name, stage in pipeline.items():
        makers = ", ".join(sorted(maker for maker, reader in stage_edges if reader == name)) or "nothing"
        folders = [dep.removeprefix("src/echosynth/") for dep in stage["deps"] if dep.startswith("src/")]
        rooms = ", ".join(sorted(folder for folder in folders if not folder.endswith(".py"))) or "none"
        wanted.append(f"| {name} | {makers} | {rooms} |")
    lines = ARCHITECTURE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| stage |"))
    found = lines[start + 2 : start + 2 + len(wanted)]
    assert found == wanted, "docs/architecture.md should say\n" + "\n".join(wanted)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_and_files_that_a_page_names_exist(page: Path) -> None:
    missing = []
    for name in re.findall(r"`([^`\s]+)`", FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.search(r"[<>{}]|NAME|mine", name) or not (name.endswith(".py") or name.startswith(TRACKED)):
            continue
        places = [ROOT, PACKAGE, page.parent]
        if "/" not in name:  # a module of the room that the sentence is about
            places += [path for path in PACKAGE.rglob("*") if path.is_dir()]
        if not any(next(place.glob(name.rstrip("/")), None) for place in places):
            missing.append(name)
    assert missing == []


def sentences() -> list[str]:
    """All texts of the package, with ... where a value is put in."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_pages_quote_the_program_when_something_fails() -> None:
    said, wrong = sentences(), []
    for page in GUIDES:
        _, heading, last = page.read_text(encoding="utf-8").rpartition("\n## When something fails\n")
        assert heading and "\n## " not in last, f"{page.name} should end with what to do when something fails"
        quotes = re.findall(r"^\| `([^`]+)` \|", last, re.MULTILINE)
        assert len(quotes) >= 2, page.name
        for quote in quotes:
            parts = [part for part in quote.split("...") if part.strip()]
            pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
            if not any(pattern.search(text) for text in said):
                wrong.append(f"{page.name}: {quote}")
    assert wrong == [], "no text of the program is like this"


@pytest.mark.parametrize("page", WRAPPED, ids=lambda page: page.name)
def test_prose_is_wrapped(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("script", FINDINGS, ids=lambda script: script.stem)
def test_a_finding_has_its_form(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n# ") and "set -euo pipefail" in text and "mktemp -d" in text
    installed = re.search(r"pip install [^\n]*check (.*?[^\\])\n", text, re.DOTALL)
    assert installed and all("==" in word for word in installed[1].replace("\\\n", " ").split())
    assert "echosynth" not in text
    assert "assert " in text or text.splitlines()[-1].startswith("[ "), "what fails when the surprise is gone?"
    assert f"[{script.name}]({script.name})" in (ROOT / "findings/README.md").read_text(encoding="utf-8")
    assert script.stat().st_mode & 0o111, "chmod +x"


def test_there_are_findings() -> None:
    assert len(FINDINGS) >= 2
