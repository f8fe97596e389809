"""Options of the screening of recordings."""

from typing import Literal, Protocol

from pydantic import Field

from echosynth.common.options import Fraction, Section, Workers
from echosynth.media.options import DecodingParams
from echosynth.sources.options import DataParams


class ReviewParams(Section):
    """The screening: which recordings are no plain 2-D picture."""

    method: Literal["ks", "grey", "none"]
    alpha: Fraction
    undecided: Literal["keep", "drop", "stop", "proposal"]
    grey_difference: int = Field(ge=0, le=255)
    grey_share: float = Field(ge=0, le=1)
    coloured_share: Fraction


class ScreeningSettings(Protocol):
    """What a screening reads of params.yaml."""

    @property
    def data(self) -> DataParams: ...
    @property
    def decoding(self) -> DecodingParams: ...
    @property
    def review(self) -> ReviewParams: ...
    @property
    def ingest(self) -> Workers: ...
