"""Sections on classifiers and on what judges: training, fidelity, promotion."""

from typing import Literal

from pydantic import Field

from echosynth.sections.base import Fraction, Positive, Section, Seed, Share

RealArm = Literal["real", "upsampled"]
SyntheticArm = Literal["synthetic", "mixed"]
ArmName = RealArm | SyntheticArm
Architecture = Literal["resnet18", "densenet121", "vgg16", "inception_v3"]

# Smallest side in pixels that an architecture can halve as often as it does.
SMALLEST_SIDE: dict[str, int] = {"resnet18": 32, "densenet121": 32, "vgg16": 32, "inception_v3": 80}


class TrainingParams(Section):
    """How a classifier is trained."""

    budget: Literal["steps", "epochs"]
    steps: Positive
    epochs: Positive
    batch_size: Positive
    learning_rate: float = Field(gt=0, le=10)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    decay_every: Fraction
    decay_factor: float = Field(gt=0, le=1)
    augment: float = Field(ge=0, le=1)
    precision: Literal["auto", "fp32", "bf16"]


class ClassifierParams(TrainingParams):
    """The view classifiers and the sets that they are trained on."""

    real_arms: list[RealArm] = Field(min_length=1)
    synthetic_arms: list[SyntheticArm] = Field(min_length=1)
    architectures: list[Architecture] = Field(min_length=1)
    seeds: list[Seed] = Field(min_length=1)
    evaluations: Positive
    bootstrap: int = Field(ge=0)
    bootstrap_seed: Seed


class FidelityParams(Section):
    """Frechet distances, and the network whose features they are measured on."""

    seed: Seed
    count: int = Field(ge=2)
    architecture: Architecture
    training: TrainingParams
    inception_weights: str
    floor_repeats: Positive
    privacy_quantile: Fraction


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
