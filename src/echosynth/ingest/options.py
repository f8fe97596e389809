"""Options of the way from a release to an image set."""

from typing import Literal, Protocol

from pydantic import Field

from echosynth.common.options import Positive, Section, Seed
from echosynth.imagesets.options import Resampling
from echosynth.screening.options import ReviewParams
from echosynth.sources.options import DataParams


class IngestParams(Section):
    """From files to small grey pictures."""

    size: int = Field(ge=8, le=1024, multiple_of=8)
    resampling: Resampling
    square_pixels: bool
    seed: Seed
    frames: Literal["random", "spaced", "dissimilar", "marked"]
    frames_per_cine: Positive
    max_per_patient_view: Positive
    backend: Literal["processes", "dask"]
    dask_scheduler: str
    workers: int = Field(ge=0)


class IngestSettings(Protocol):
    """What an ingest reads of params.yaml."""

    @property
    def data(self) -> DataParams: ...
    @property
    def review(self) -> ReviewParams: ...
    @property
    def ingest(self) -> IngestParams: ...
