"""Section study: every table and figure of the thesis, and the questions that it left open."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from echosynth.common.errors import OptionError
from echosynth.common.options import Positive, Section, Seed
from echosynth.splits.options import SubsetSize

SEVERAL = 2  # fewer seeds say nothing of the chance of training


class BudgetLengths(Section):
    """Length of a training in each unit."""

    steps: Positive
    epochs: Positive


class StudyParams(Section):
    """The study: what `make study` does beside the main pipeline."""

    run: list[Literal["all"]] = Field(max_length=1)
    pretrained: dict[str, str]
    pretrained_size: int = Field(ge=0, le=1024)
    pretrained_ways: list[Literal["frozen", "fine-tuned"]] = Field(min_length=1)
    other_budget: BudgetLengths
    rebalance_subsets: list[SubsetSize] = Field(min_length=1)
    mixup_alpha: float = Field(gt=0)
    fractions: list[Annotated[float, Field(ge=0.01, le=10)]] = Field(min_length=1)
    embedding_points: Positive
    perplexities: list[Annotated[float, Field(ge=1)]] = Field(min_length=1)
    iterations: list[Annotated[int, Field(ge=250)]] = Field(min_length=1)
    stability_points: Positive
    early_subset: SubsetSize
    early_architectures: list[str] = Field(min_length=2)  # the stage checks them: here timm would be imported
    early_seeds: list[Seed] = Field(min_length=1)
    smallest_auprc: float = Field(gt=0, lt=1)
    smallest_recall: float = Field(gt=0, lt=1)
    power_patients: list[Annotated[float, Field(gt=0)]]
    power_seeds: list[Annotated[int, Field(ge=SEVERAL)]]

    @model_validator(mode="after")
    def _fractions_rise_by_per_cents(self) -> "StudyParams":
        per_cents = [round(100 * fraction) for fraction in self.fractions]
        if per_cents != sorted(set(per_cents)) or any(
            abs(100 * fraction - whole) > 1e-6 for fraction, whole in zip(self.fractions, per_cents, strict=True)
        ):
            raise OptionError(f"study.fractions = {self.fractions} must rise, each a whole number of per cent")
        return self

    @model_validator(mode="after")
    def _nothing_twice(self) -> "StudyParams":
        for key in ("perplexities", "iterations", "early_architectures", "early_seeds", "power_patients"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"study.{key} = {values} names one twice")
        return self
