"""All sources by the name that they have in params.yaml and under data.root."""

import re
from dataclasses import replace
from functools import cache
from importlib import import_module

from echosynth.common.errors import EchosynthError
from echosynth.sources.base import Source
from echosynth.sources.options import OWN_NAME, source_names


@cache
def find_source(name: str) -> Source:
    """The adapter called `name`; `own-<anything>` is read as `own` is, so that a team can hold several hospitals apart.

    Raises:
        EchosynthError: there is none.
    """
    base = "own" if re.fullmatch(OWN_NAME, name) else name
    if base not in source_names():
        raise EchosynthError(f"there is no source {name!r}; known are {', '.join(source_names())}, own-<name>")
    source: Source = import_module(f"echosynth.sources.releases.{base.replace('-', '_')}").SOURCE
    if name == base:
        return source
    label = name.removeprefix("own-")
    return replace(source, name=name, title=f"{source.title} ({label})")


def all_sources() -> list[Source]:
    """Every adapter, by name."""
    return [find_source(name) for name in source_names()]
