"""The sections of `params.yaml`: one frozen model each, with the ranges of their values.

Unknown keys, wrong types and values out of range are refused; `echosynth.config` reads the file and says so.
"""

from echosynth.sections.base import OWN_NAME, Section, SourceName, SubsetSize, source_names
from echosynth.sections.classification import (
    SMALLEST_SIDE,
    ArmName,
    ClassifierParams,
    FidelityParams,
    PromotionParams,
    TrainingParams,
)
from echosynth.sections.data import DataParams, IngestParams, PhantomParams, Resampling, ReviewParams, SplitParams
from echosynth.sections.generation import (
    AutoencoderParams,
    DiffusionParams,
    ExploreParams,
    Precision,
    SampleParams,
    Solver,
    check_levels,
    network_side,
)

__all__ = [
    "OWN_NAME",
    "SMALLEST_SIDE",
    "ArmName",
    "AutoencoderParams",
    "ClassifierParams",
    "DataParams",
    "DiffusionParams",
    "ExploreParams",
    "FidelityParams",
    "IngestParams",
    "PhantomParams",
    "Precision",
    "PromotionParams",
    "Resampling",
    "ReviewParams",
    "SampleParams",
    "Section",
    "Solver",
    "SourceName",
    "SplitParams",
    "SubsetSize",
    "TrainingParams",
    "check_levels",
    "network_side",
    "source_names",
]
