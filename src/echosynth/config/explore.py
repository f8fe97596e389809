"""Section explore: what only informs choices."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from echosynth.common.options import Positive, Section
from echosynth.diffusion.options import Solver
from echosynth.splits.options import SubsetSize


class ExploreParams(Section):
    """The explorations: what only informs choices."""

    run: list[Literal["all"]] = Field(max_length=1)
    subset: SubsetSize
    reference: Literal["validation", "train"]
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

    @model_validator(mode="after")
    def _lists_rise(self) -> "ExploreParams":
        for key in ("counts", "curve", "solver_evaluations"):
            values = getattr(self, key)
            if values != sorted(set(values)):
                raise ValueError(f"explore.{key} = {values} must rise, without a number twice")
        if len(set(self.solvers)) < len(self.solvers):
            raise ValueError("explore.solvers names a solver twice")
        return self
