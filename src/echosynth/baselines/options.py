"""Options of the baselines."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from echosynth.common.errors import OptionError
from echosynth.common.options import Section

Baseline = Literal["gaussian", "mixup"]


class BaselineParams(Section):
    """Which baselines are made beside the diffusion model, and how."""

    generators: list[Baseline]
    mixup_alpha: Annotated[float, Field(gt=0, le=100)]

    @model_validator(mode="after")
    def _named_once(self) -> "BaselineParams":
        if len(set(self.generators)) < len(self.generators):
            raise OptionError(f"baselines.generators = {self.generators}: each may be named once only")
        return self
