"""Section promotion: the gates that a version passes before it goes into use."""

from pydantic import Field

from echosynth.common.options import Section, Seed, Share


class RecallFloors(Section):
    """The smallest recall of each view."""

    A2C: Share
    A4C: Share
    PLAX: Share
    PSAX: Share


class RegressionMargins(Section):
    """How much worse than the champion a version may be."""

    macro_auprc: Share
    macro_f1: Share


class PromotionParams(Section):
    """The gates that a version passes before it becomes the champion."""

    min_macro_f1: Share
    min_recall: RecallFloors
    max_regression: RegressionMargins
    alpha: float = Field(gt=0, le=0.5)
    bootstrap: int = Field(ge=100)
    bootstrap_seed: Seed
    max_calibration_error: Share
    calibration_bins: int = Field(ge=2)
    require_privacy_audit: bool
    max_near_copies: Share
    allow_other_size: bool
