"""Options of splits and subsets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from echosynth.common.options import Fraction, Section, Seed

SubsetSize = Annotated[int, Field(ge=8)] | Literal["all"]


class SplitParams(Section):
    """Training, validation and test set, and the nested subsets of the training set."""

    seed: Seed
    official: Literal["auto", "always", "never"]
    validation: Fraction
    test: Fraction
    near_duplicate: Annotated[float, Field(gt=0, le=1)] | Literal["none"]
    subsets: list[SubsetSize] = Field(min_length=1)

    @model_validator(mode="after")
    def _room_for_training(self) -> "SplitParams":
        if self.validation + self.test >= 1:
            raise ValueError("split.validation + split.test must leave something to train on: below 1")
        if len(set(self.subsets)) < len(self.subsets):
            raise ValueError("split.subsets names a size twice")
        return self
