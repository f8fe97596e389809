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
    imagenet_architecture: str = Field(min_length=1)
    imagenet_weights: str
    imagenet_size: int = Field(ge=0, le=1024)
    floor_repeats: Positive
    privacy_quantile: Fraction
