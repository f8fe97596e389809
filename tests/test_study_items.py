"""docs/study.md against the pages: every table and figure of the thesis has a row, and what makes it is there."""

import ast
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
ITEM = re.compile(r"(?:Table|Figure) [\dA]\.\d+")
TABLES = ["3.1", "3.2", "3.3", "3.4", "5.1", "5.2", "5.3", "5.4", "A.1", "A.2"]
FIGURES = [
    "0.1",
    "1.1",
    "1.2",
    "2.1",
    "2.2",
    "2.3",
    *(f"3.{n}" for n in range(1, 11)),
    *(f"4.{n}" for n in range(1, 6)),
]
FIGURES += [*(f"5.{n}" for n in range(1, 22)), *(f"A.{n}" for n in range(1, 7))]


def rows() -> dict[str, list[str]]:
    """Item -> the other cells of its row."""
    lines = (ROOT / "docs/study.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if ITEM.match(line[2:])]
    assert len({row[0] for row in cells}) == len(cells)
    return {row[0]: row[1:] for row in cells}


def on_page() -> set[str]:
    """Items that a section of reports/study.html is about."""
    found = set()
    for file in (ROOT / "src/echosynth/report/thesis").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple):
                words = [part.value for part in node.elts if isinstance(part, ast.Constant)]
                found |= {word for word in words if isinstance(word, str) and ITEM.fullmatch(word)}
    return found


def outputs() -> set[str]:
    """Pages that the pipelines write."""
    found = set()
    for file in ("dvc.yaml", "explore/dvc.yaml", "study/dvc.yaml"):
        for stage in yaml.safe_load((ROOT / file).read_text())["stages"].values():
            found |= {out for out in stage["outs"] if isinstance(out, str) and out.endswith(".html")}
    return found


def test_every_table_and_figure_of_the_thesis_has_a_row() -> None:
    assert set(rows()) == {*(f"Table {n}" for n in TABLES), *(f"Figure {n}" for n in FIGURES)}


def test_what_a_row_names_is_made() -> None:
    assert {page for _, command, page in rows().values() if command} <= outputs()
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {command.removeprefix("make ") for _, command, _ in rows().values() if command} <= set(targets)


def test_the_page_of_the_thesis_has_what_its_rows_say_and_no_more() -> None:
    assert {item for item, (_, _, page) in rows().items() if page == "reports/study.html"} == on_page()
