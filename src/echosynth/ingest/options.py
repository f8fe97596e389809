"""Options of the way from a release to an image set."""

from typing import Literal, Protocol

from pydantic import Field

from echosynth.common.options import Positive, Section, Seed
from echosynth.imagesets.options import Resampling
from echosynth.media.options import DecodingParams
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
    max_per_patient: int = Field(ge=0)
    backend: Literal["processes", "dask"]
    dask_scheduler: str
    workers: int = Field(ge=0)

    @property
    def limits(self) -> str:
        """How many stills of a known patient are taken, such as "at most 15 of one patient and view"."""
        views = f"at most {self.max_per_patient_view} of one patient and view"
        return f"{views} and {self.max_per_patient} of one patient" if self.max_per_patient else views


class IngestSettings(Protocol):
    """What an ingest reads of params.yaml."""

    @property
    def data(self) -> DataParams: ...
    @property
    def decoding(self) -> DecodingParams: ...
    @property
    def review(self) -> ReviewParams: ...
    @property
    def ingest(self) -> IngestParams: ...
