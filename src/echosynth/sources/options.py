"""Options on the releases: where they are, and which of them are used for what."""

import re
from functools import cache
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from echosynth.common import paths
from echosynth.common.options import Section

OWN_NAME = r"own-[a-z0-9][a-z0-9-]*"  # a team's own sources beside "own"


@cache
def source_names() -> tuple[str, ...]:
    """Names of all sources that can be read: the modules of `echosynth.sources.releases`, none of which is imported."""
    folder = Path(__file__).parent / "releases"
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


class DataParams(Section):
    """Where the releases are and which of them are used for what."""

    root: str
    train_sources: list[SourceName] = Field(min_length=1)
    shift_sources: list[SourceName]
    max_bad_share: float = Field(ge=0, le=1)
    salt_file: str
    salt_id: str = Field(pattern="^[a-p]{8}$")

    @model_validator(mode="after")
    def _secret_salt(self) -> "DataParams":
        if Path(self.salt_file).name == "salt.demo" and not paths.simulated(self.root):
            raise ValueError(
                f"data.salt_file = {self.salt_file} is public and serves the phantoms alone: for {self.root} name a "
                "file with a long random text of your own, such as data/salt"
            )
        return self

    @model_validator(mode="after")
    def _no_source_twice(self) -> "DataParams":
        names = [*self.train_sources, *self.shift_sources]
        if len(set(names)) < len(names):
            raise ValueError("a source may be named once only, in data.train_sources or in data.shift_sources")
        return self
