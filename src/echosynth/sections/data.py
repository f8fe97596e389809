"""Sections on the data: releases, phantoms, validation of recordings, small pictures, splits."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from echosynth import paths
from echosynth.sections.base import Fraction, Positive, Section, Seed, SourceName, SubsetSize

Resampling = Literal["area-cubic", "cubic"]


class DataParams(Section):
    """Where the releases are and which of them are used for what."""

    root: str
    train_sources: list[SourceName] = Field(min_length=1)
    shift_sources: list[SourceName]
    max_bad_share: float = Field(ge=0, le=1)
    salt_file: str

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


class PhantomParams(Section):
    """The embedded demo data."""

    seed: Seed
    one_in: float = Field(ge=1)
    unusable_share: float = Field(ge=0, le=0.5)
    tinted_share: float = Field(ge=0, le=0.5)
    difficulty: float = Field(ge=0, le=2)


class ReviewParams(Section):
    """Which recordings are no plain 2-D picture: the video validation."""

    method: Literal["ks", "grey", "none"]
    alpha: Fraction
    undecided: Literal["keep", "drop", "stop", "proposal"]
    grey_difference: int = Field(ge=0, le=255)
    grey_share: float = Field(ge=0, le=1)
    coloured_share: Fraction


class IngestParams(Section):
    """From files to small grey pictures."""

    size: int = Field(ge=8, le=1024, multiple_of=8)
    resampling: Resampling
    seed: Seed
    frames: Literal["random", "spaced", "dissimilar", "marked"]
    frames_per_cine: Positive
    max_per_patient_view: Positive
    backend: Literal["processes", "dask"]
    dask_scheduler: str
    workers: int = Field(ge=0)


class SplitParams(Section):
    """Training, validation and test set, and the nested subsets of the training set."""

    seed: Seed
    official: Literal["auto", "always", "never"]
    validation: Fraction
    test: Fraction
    near_duplicate: float = Field(gt=0, le=1)
    subsets: list[SubsetSize] = Field(min_length=1)

    @model_validator(mode="after")
    def _room_for_training(self) -> "SplitParams":
        if self.validation + self.test >= 1:
            raise ValueError("split.validation + split.test must leave something to train on: below 1")
        if len(set(self.subsets)) < len(self.subsets):
            raise ValueError("split.subsets names a size twice")
        return self
