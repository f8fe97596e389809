"""Options of what judges synthetic sets."""

from pydantic import Field

from echosynth.classifier.options import Architecture, TrainingParams
from echosynth.common.options import Fraction, Positive, Section, Seed


class FidelityParams(Section):
    """Frechet distances, and the network whose features they are measured on."""

    seed: Seed
    count: int = Field(ge=2)
    architecture: Architecture
    training: TrainingParams
    inception_weights: str
    floor_repeats: Positive
    privacy_quantile: Fraction
