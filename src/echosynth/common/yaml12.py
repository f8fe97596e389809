"""YAML 1.2, as DVC writes it; it also reads 1_000 and 2026-01-01 as version 1.1 does, which are texts here.

PyYAML reads version 1.1, for which 2e-05 is a text, 1:30 the number 90, and `no` is false. Where a key stands twice it
keeps the last value without a word; here that is an error, as it is for DVC.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from echosynth.common.errors import EchosynthError


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times as fast where it is built
    """A safe loader that takes plain words for what the core schema says (YAML 1.2.2, section 10.3.2)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Make a mapping.

        Raises:
            ConstructorError: a key stands there twice.
        """
        seen: set[str] = set()
        for key, _ in node.value:  # before keys are merged in, which those of the mapping itself may repeat
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value} stands there twice", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)  # 010 is ten, which Python's base 0 refuses


Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
    ("merge", r"^<<$", ["<"]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_yaml(path: Path | str) -> Any:
    """Read a YAML file.

    Raises:
        EchosynthError: the file is missing or is no YAML.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506  (a safe loader)
    except FileNotFoundError:
        raise EchosynthError(f"{path} is missing; run from the project's root") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise EchosynthError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
