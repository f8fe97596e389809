"""Section explore: what only informs choices."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from echosynth.common.options import Positive, Section
from echosynth.diffusion.options import Solver
from echosynth.splits.options import SubsetSize

Reference = Literal["validation", "train", "validation-all", "train-all"]


class ReferenceParams(Section):
    """Real images that samples are compared with, by table or figure; as many as there are samples, or all of a
    split."""

    methods: Reference
    variants: Reference
    curve: Reference
    along: Reference
    solvers: Reference


class ExploreParams(Section):
    """The explorations: what only informs choices."""

    run: list[Literal["all"]] = Field(max_length=1)
    subset: SubsetSize
    reference: ReferenceParams
    steps: Positive
    counts: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    solver: Solver
    evaluations: Positive
    latent_attention: list[Positive]
    curve: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    curve_real: int = Field(ge=2)
    along_steps: Positive
    along_snapshots: Positive
    solvers: list[Solver] = Field(min_length=1)
    solver_evaluations: list[Positive] = Field(min_length=1)
    solver_images: int = Field(ge=2)

    @field_validator("reference", mode="before")
    @classmethod
    def _by_figure(cls, value: Any) -> Any:
        if isinstance(value, str):  # as it was once
            figures = ", ".join(ReferenceParams.model_fields)
            raise ValueError(f"explore.reference = {value} is one for all; give each of {figures} its own below it")
        return value

    @model_validator(mode="after")
    def _lists_rise(self) -> "ExploreParams":
        for key in ("counts", "curve", "solver_evaluations"):
            values = getattr(self, key)
            if values != sorted(set(values)):
                raise ValueError(f"explore.{key} = {values} must rise, without a number twice")
        if len(set(self.solvers)) < len(self.solvers):
            raise ValueError("explore.solvers names a solver twice")
        return self
