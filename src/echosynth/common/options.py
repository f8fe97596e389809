"""Options: the checked choices of a room, as sections of params.yaml hold them. Their base class and common types."""

from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, no silent conversion of types, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Workers(Protocol):
    """Who does the work; section ingest of params.yaml says so."""

    @property
    def backend(self) -> str: ...  # processes or dask
    @property
    def dask_scheduler(self) -> str: ...
    @property
    def workers(self) -> int: ...  # 0: one a core
