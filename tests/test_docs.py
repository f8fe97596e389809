"""README.md and docs/: nothing left to fill in, links that lead somewhere, commands that the command line knows."""

import re
import shlex
from pathlib import Path

import click
import pytest

from echosynth.cli import COMMANDS, command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "bench/README", "findings/README")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
PLACEHOLDERS = re.compile(
    r"\b(TODO|FIXME|TBD|XXX+)\b|lorem ipsum|fill (this )?in\b|<(paste|insert|your)\b", re.IGNORECASE
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
INLINE = re.compile(r"`(echosynth [^`]+)`")
AFTER = re.compile(r"\s(?:\||&&|;|>|2>)\s|\n")  # what ends a command on a line of a shell


def of_shell(text: str) -> list[str]:
    """Calls of echosynth in blocks of a shell, without what comes before and after."""
    blocks = [body for language, body in FENCE.findall(text) if language in ("console", "bash", "sh")]
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    parts = [part.strip(" ();") for line in lines for part in AFTER.split(line.split(" # ")[0].split("  #")[0])]
    return [part.removeprefix(".venv/bin/") for part in parts if re.match(r"(\.venv/bin/)?echosynth\s", part)]


def anchors(text: str) -> set[str]:
    """Names under which the headings of a page are linked, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def refusal(words: list[str]) -> str:
    """What the command line says against a call, without running it."""
    name, *rest = words
    if name not in COMMANDS:
        return f"no command {name}"
    try:
        command(name).make_context(name, rest)
    except click.ClickException as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert [found[0] for found in PLACEHOLDERS.finditer(page.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page: Path) -> None:
    missing = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):  # elsewhere
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_to_paste_are_understood(page: Path) -> None:
    calls = of_shell(page.read_text(encoding="utf-8"))
    wrong = {call: refusal(shlex.split(call)[1:]) for call in calls}
    assert {call: words for call, words in wrong.items() if words} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_sentences_have_names_and_options_that_exist(page: Path) -> None:
    """These leave out what does not matter there, so they cannot be parsed as a whole."""
    wrong = []
    for call in INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        name, *words = call.split()[1:]
        known = {option for param in command(name).params for option in param.opts} if name in COMMANDS else None
        options = {word.strip("[]").partition("=")[0] for word in words if word.startswith(("-", "[-"))}
        if known is None or not options <= known:
            wrong.append(call)
    assert wrong == []


def test_calls_are_found_where_they_stand() -> None:
    lines = [
        "```console",
        "$ echosynth promote --dry-run   # why",
        "x && .venv/bin/echosynth sweep g --nonsense 3",
    ]
    text = "\n".join([*lines, "```", ""])
    assert of_shell(text) == ["echosynth promote --dry-run", "echosynth sweep g --nonsense 3"]
    first, second = (refusal(shlex.split(call)[1:]) for call in of_shell(text))
    assert first == "" and "No such option '--nonsense'" in second
    assert sum(len(of_shell(page.read_text(encoding="utf-8"))) for page in PAGES) > 30
    assert {"the-registry", "without-mlflow"} <= anchors((ROOT / "docs/registry.md").read_text(encoding="utf-8"))
