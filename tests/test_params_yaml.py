"""The comments of params.yaml: every parameter has one that says what it means, and the range that the code allows."""

import re
import typing
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from echosynth.config.parameters import Params

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Entry:
    """A parameter: "section.key", what is said of it, and whether another section says it."""

    key: str
    comment: str
    elsewhere: str = ""


def _above(lines: list[str], number: int) -> str:
    """The comment lines right above a line."""
    found: list[str] = []
    while number and lines[number - 1].lstrip().startswith("#"):
        number -= 1
        found.insert(0, lines[number].lstrip(" #"))
    return " ".join(found)


def _beside(line: str) -> str:
    """The comment at the end of a line."""
    return line.partition(" # ")[2]


def entries(text: str, mappings: Collection[str] = ()) -> list[Entry]:
    """All parameters of a text in the form of params.yaml; those named in `mappings` have free keys.

    A comment stands above its parameter or at the end of the line. The parameters that follow without one belong to it
    when it names them; below a group whose comment says "as in section X" those of that section count.
    """
    lines = text.splitlines()

    def walk(tree: CommentedMap, prefix: str, elsewhere: str = "") -> Iterator[Entry]:
        last = ""
        for key, value in tree.items():
            line = tree.lc.key(key)[0]
            own = f"{_above(lines, line)} {_beside(lines[line])}".strip()
            last = own or last
            if isinstance(value, CommentedMap) and f"{prefix}{key}" not in mappings:
                other = re.search(r"as in section (\w+)", own)
                yield from walk(value, f"{prefix}{key}.", f"{other[1]}." if other else "")
            else:
                named = re.search(rf"\b{re.escape(key)}\b", last) is not None
                yield Entry(f"{prefix}{key}", own or (last if named else ""), elsewhere and elsewhere + key)

    return list(walk(YAML().load(text), ""))


def uncommented(found: list[Entry]) -> list[str]:
    """Keys of which nothing is said, here or where the comment of their group points to."""
    said = {entry.key for entry in found if entry.comment}
    return [entry.key for entry in found if entry.key not in said and entry.elsewhere not in said]


def ranges(annotation: Any, metadata: tuple[Any, ...] = ()) -> set[str]:
    """How the numbers that a type allows are written in a comment; empty for what is no number."""
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        return ranges(inner, (*metadata, *more))
    if typing.get_origin(annotation) is typing.Literal:
        *some, last = values = typing.get_args(annotation)
        return {f"{', '.join(map(str, some))} or {last}"} if all(isinstance(value, int) for value in values) else set()
    if annotation in (int, float):
        bounds = [bound for item in metadata for bound in getattr(item, "metadata", [item])]  # of Field, or itself
        limits = {
            name: getattr(item, name) for item in bounds for name in ("ge", "gt", "le", "lt") if hasattr(item, name)
        }
        low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
        assert low is not None, f"a number without a lower end: {annotation}"
        above = "above " if "gt" in limits else ""
        if high is None:
            return {f"above {low:g}" if above else f"{low:g} or more"}
        top = "2^32" if high == 2**32 else f"{high:g}"
        return {f"{above}{low:g} to {'below ' if 'lt' in limits else ''}{top}"}
    return set().union(*(ranges(part) for part in typing.get_args(annotation) if part is not type(None)))


def said(words: str, comment: str) -> bool:
    """Whether a comment holds a range, not as a part of another one."""
    return re.search(rf"(?<!above )(?<![\d.]){re.escape(words)}(?![\d.]*\d)", comment) is not None


def allowed(model: type[BaseModel], prefix: str = "") -> dict[str, set[str]]:
    """ "section.key" -> the ranges of its numbers."""
    found: dict[str, set[str]] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= allowed(kind, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = ranges(kind, tuple(field.metadata))
    return found


ALLOWED = allowed(Params)
ENTRIES = entries((ROOT / "params.yaml").read_text(), ALLOWED)


def test_every_parameter_is_commented() -> None:
    assert not uncommented(ENTRIES), "say what they mean in params.yaml"
    assert {entry.key for entry in ENTRIES} == set(ALLOWED)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if not entry.elsewhere], ids=lambda entry: entry.key)
def test_the_comment_of_a_number_gives_its_range(entry: Entry) -> None:
    missing = [words for words in ALLOWED[entry.key] if not said(words, entry.comment)]
    assert not missing, f"the comment of {entry.key} should say {missing[0]}: {entry.comment!r}"


EXAMPLE = """
first:
  # How many (1 or more), and their kind.
  many: 3
  kind: odd
  bare: 1
second:
  beside: 2 # What it is.
  # Meaning as in section first.
  group:
    many: 4
    other: 5
"""


def test_a_new_parameter_without_a_comment_is_found() -> None:
    found = {entry.key: entry.comment for entry in entries(EXAMPLE)}
    assert found["first.many"] == found["first.kind"] == "How many (1 or more), and their kind."
    assert found["second.beside"] == "What it is."
    assert uncommented(entries(EXAMPLE)) == ["first.bare", "second.group.other"]


def test_a_range_is_said_whole() -> None:
    assert said("0 to 1", "Share (0 to 1).") and said("1 or more", "how many, 1 or more")
    for comment in ("Share (above 0 to 1).", "Share (0 to below 1).", "Share (0 to 10).", "Share (10 to 1.5)."):
        assert not said("0 to 1", comment)


def test_ranges_are_those_of_the_code() -> None:
    assert ALLOWED["ingest.size"] == {"8 to 1024"}
    assert ALLOWED["diffusion.min_snr_gamma"] == {"above 0"}
    assert ALLOWED["diffusion.unshuffle"] == {"1, 2 or 4"}
    assert ALLOWED["sample.guidance_interval"] == {"0 to 1"}
    assert ALLOWED["split.validation"] == {"above 0 to below 1"}
    assert ALLOWED["diffusion.seed"] == {"0 to below 2^32"}
    assert ALLOWED["split.subsets"] == {"8 or more"}
    assert ALLOWED["data.root"] == ALLOWED["diffusion.compile"] == set()
