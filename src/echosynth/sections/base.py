"""What the sections share: their base class and the types of their values."""

import re
from functools import cache
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SubsetSize = Annotated[int, Field(ge=8)] | Literal["all"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

OWN_NAME = r"own-[a-z0-9][a-z0-9-]*"  # a team's own sources beside "own"


@cache
def source_names() -> tuple[str, ...]:
    """Names of all sources that can be read: the modules of `echosynth.sources.releases`, none of which is imported."""
    folder = Path(__file__).parents[1] / "sources" / "releases"
    return tuple(sorted(module.name.replace("_", "-") for module in iter_modules([str(folder)])))


def known_source(name: str) -> str:
    """Check the name of a source.

    Raises:
        ValueError: it is neither known nor a team's own.
    """
    if name not in source_names() and not re.fullmatch(OWN_NAME, name):
        raise ValueError(f"{name!r} is no source; known are {', '.join(source_names())} and own-<name>")
    return name


SourceName = Annotated[str, AfterValidator(known_source)]


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, no silent conversion of types, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
