"""The sections of `params.yaml`: one frozen model each, with the ranges of their values.

Unknown keys, wrong types and values out of range are refused; `echosynth.config` reads the file and says so.
"""

import re
from functools import cache
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from echosynth import paths

RealArm = Literal["real", "upsampled"]
SyntheticArm = Literal["synthetic", "mixed"]
ArmName = RealArm | SyntheticArm
Architecture = Literal["resnet18", "densenet121", "vgg16", "inception_v3"]
SubsetSize = Annotated[int, Field(ge=8)] | Literal["all"]
Resampling = Literal["area-cubic", "cubic"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Solver = Literal["ancestral", "ddim", "dpm++", "unipc", "heun"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


OWN_NAME = r"own-[a-z0-9][a-z0-9-]*"  # a team's own sources beside "own"


@cache
def source_names() -> tuple[str, ...]:
    """Names of all sources that can be read: the modules of `echosynth.sources.releases`, none of which is imported."""
    folder = Path(__file__).parent / "sources" / "releases"
    return tuple(sorted(module.name.replace("_", "-") for module in iter_modules([str(folder)])))


def _known_source(name: str) -> str:
    if name not in source_names() and not re.fullmatch(OWN_NAME, name):
        raise ValueError(f"{name!r} is no source; known are {', '.join(source_names())} and own-<name>")
    return name


SourceName = Annotated[str, AfterValidator(_known_source)]


# Smallest side in pixels that an architecture can halve as often as it does.
SMALLEST_SIDE: dict[str, int] = {"resnet18": 32, "densenet121": 32, "vgg16": 32, "inception_v3": 80}


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, no silent conversion of types, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataParams(Section):
    """Where the releases are and which of them are used for what."""

    root: str
    train_sources: list[SourceName] = Field(min_length=1)
    shift_sources: list[SourceName]
    max_bad_share: float = Field(ge=0, le=1)
    salt_file: str

    @model_validator(mode="after")
    def _secret_salt(self) -> "DataParams":
        if Path(self.salt_file).name == "salt.demo" and not paths.simulated(self.root):
            raise ValueError(
                f"data.salt_file = {self.salt_file} is public and serves the phantoms alone: for {self.root} name a "
                "file with a long random text of your own, such as data/salt"
            )
        return self

    @model_validator(mode="after")
    def _no_source_twice(self) -> "DataParams":
        names = [*self.train_sources, *self.shift_sources]
        if len(set(names)) < len(names):
            raise ValueError("a source may be named once only, in data.train_sources or in data.shift_sources")
        return self


class PhantomParams(Section):
    """The embedded demo data."""

    seed: Seed
    one_in: float = Field(ge=1)
    unusable_share: float = Field(ge=0, le=0.5)
    tinted_share: float = Field(ge=0, le=0.5)
    difficulty: float = Field(ge=0, le=2)


class ReviewParams(Section):
    """Which recordings are no plain 2-D picture: the video validation."""

    method: Literal["ks", "grey", "none"]
    alpha: Fraction
    undecided: Literal["keep", "drop", "stop", "proposal"]
    grey_difference: int = Field(ge=0, le=255)
    grey_share: float = Field(ge=0, le=1)
    coloured_share: Fraction


class IngestParams(Section):
    """From files to small grey pictures."""

    size: int = Field(ge=8, le=1024, multiple_of=8)
    resampling: Resampling
    seed: Seed
    frames: Literal["random", "spaced", "dissimilar", "marked"]
    frames_per_cine: Positive
    max_per_patient_view: Positive
    backend: Literal["processes", "dask"]
    dask_scheduler: str
    workers: int = Field(ge=0)


class SplitParams(Section):
    """Training, validation and test set, and the nested subsets of the training set."""

    seed: Seed
    official: Literal["auto", "always", "never"]
    validation: Fraction
    test: Fraction
    near_duplicate: float = Field(gt=0, le=1)
    subsets: list[SubsetSize] = Field(min_length=1)

    @model_validator(mode="after")
    def _room_for_training(self) -> "SplitParams":
        if self.validation + self.test >= 1:
            raise ValueError("split.validation + split.test must leave something to train on: below 1")
        if len(set(self.subsets)) < len(self.subsets):
            raise ValueError("split.subsets names a size twice")
        return self


class AutoencoderParams(Section):
    """The autoencoder of the latent route (Medfusion)."""

    channels: list[Positive] = Field(min_length=2)
    latent_channels: Positive
    blocks: Positive
    steps: Positive
    batch_size: Positive
    learning_rate: float = Field(gt=0, le=1)
    kl_weight: float = Field(ge=0)
    augment: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _groups_fit(self) -> "AutoencoderParams":
        if any(width % 4 for width in self.channels):
            raise ValueError(f"diffusion.autoencoder.channels = {self.channels} must all be multiples of 4")
        return self


class DiffusionParams(Section):
    """The generative model and its training."""

    seed: Seed
    space: Literal["pixel", "latent"]
    autoencoder: AutoencoderParams
    timesteps: int = Field(ge=10, le=10_000)
    schedule: Literal["linear", "cosine", "sigmoid"]
    zero_terminal_snr: bool
    prediction: Literal["epsilon", "x0", "v"]
    variance: Literal["fixed-small", "fixed-large", "learned"]
    loss: Literal["simple", "min-snr", "hybrid", "variational"]
    min_snr_gamma: float = Field(gt=0)
    timestep_sampling: Literal["uniform", "loss-second-moment"]
    unshuffle: Literal[1, 2, 4]
    channels: list[Positive] = Field(min_length=1)
    blocks: Positive
    attention: list[Positive]
    head_channels: Positive
    scale_shift: bool
    dropout: float = Field(ge=0, lt=1)
    gradient_checkpointing: bool
    source_conditioning: bool
    view_dropout: float = Field(ge=0, lt=1)
    source_dropout: float = Field(ge=0, lt=1)
    steps: Positive
    batch_size: Positive
    learning_rate: float = Field(gt=0, le=1)
    warmup_steps: int = Field(ge=0)
    decay: Literal["cosine", "constant"]
    weight_decay: float = Field(ge=0)
    gradient_clip: float = Field(gt=0)
    ema_decays: list[Annotated[float, Field(ge=0, lt=1)]] = Field(min_length=1, max_length=2)
    augment: float = Field(ge=0, le=1)
    snapshots: Positive
    snapshot_images: int = Field(ge=0)
    patience: int = Field(ge=0)
    keep_snapshots: bool
    checkpoint_every: Positive
    log_every: Positive
    precision: Precision
    compile: bool

    @model_validator(mode="after")
    def _parts_fit(self) -> "DiffusionParams":
        learned = self.variance == "learned"
        if (learned and self.loss in ("simple", "min-snr")) or (not learned and self.loss == "hybrid"):
            raise ValueError(
                f"diffusion.loss = {self.loss} does not go with diffusion.variance = {self.variance}: a learned "
                "variance is trained by hybrid or variational alone, and hybrid needs one"
            )
        if self.zero_terminal_snr and self.prediction == "epsilon":
            raise ValueError(
                "diffusion.zero_terminal_snr leaves no image at the last step, where diffusion.prediction = epsilon "
                "says nothing: use v or x0"
            )
        if len(set(self.ema_decays)) < len(self.ema_decays):
            raise ValueError("diffusion.ema_decays names a decay twice")
        if any(width % 4 for width in self.channels):
            raise ValueError(f"diffusion.channels = {self.channels} must all be multiples of 4 (better of 32)")
        # The deepest level has attention always.
        attending = self.channels if self.attention else self.channels[-1:]
        if odd := [width for width in attending if width % self.head_channels]:
            raise ValueError(
                f"diffusion.head_channels = {self.head_channels} does not divide the {odd[0]} of diffusion.channels"
            )
        if self.patience and not self.snapshot_images:
            raise ValueError("diffusion.patience needs scores of the snapshots: set diffusion.snapshot_images above 0")
        return self


class SampleParams(Section):
    """The synthetic sets."""

    seed: Seed
    per_view: Positive
    views: Literal["balanced", "real"]
    sources: str
    solver: Solver
    evaluations: int = Field(ge=1, le=10_000)
    eta: float = Field(ge=0, le=1)
    guidance: float = Field(ge=0, le=1000)
    guidance_interval: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=2, max_length=2)
    autoguidance: float = Field(ge=0, lt=1)
    batch_size: Positive

    @model_validator(mode="after")
    def _parts_fit(self) -> "SampleParams":
        if self.sources not in ("real", "balanced", "none"):
            _known_source(self.sources)
        if self.eta and self.solver != "ddim":
            raise ValueError(f"sample.eta = {self.eta} has a meaning for sample.solver = ddim only: set it to 0")
        if self.autoguidance and self.guidance == 1:
            raise ValueError(
                f"sample.autoguidance = {self.autoguidance} does nothing with sample.guidance = 1: set that above 1"
            )
        if self.guidance_interval[0] > self.guidance_interval[1]:
            raise ValueError(f"sample.guidance_interval = {self.guidance_interval} must rise, such as [0.2, 0.8]")
        return self


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


class ExploreParams(Section):
    """The explorations: what only informs choices."""

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


def network_side(params: DiffusionParams, size: int) -> int:
    """Side of what the U-Net's first level sees for images of side `size`: unshuffled pixels, or padded latents."""
    if params.space == "pixel":
        return size // params.unshuffle
    factor, deepest = 2 ** (len(params.autoencoder.channels) - 1), 2 ** (len(params.channels) - 1)
    return -(-(size // factor) // deepest) * deepest


def check_levels(params: DiffusionParams, size: int) -> None:
    """Check that the diffusion model can be built for images of side `size`.

    Raises:
        ValueError: naming the parameter that does not fit.
    """
    if params.space == "latent":
        if params.unshuffle != 1:
            raise ValueError(f"diffusion.unshuffle = {params.unshuffle} must be 1 with diffusion.space = latent")
        if size % (factor := 2 ** (len(params.autoencoder.channels) - 1)):
            raise ValueError(
                f"ingest.size = {size} cannot be halved through {len(params.autoencoder.channels)} "
                f"diffusion.autoencoder.channels: it must be a multiple of {factor}"
            )
    elif size % (factor := params.unshuffle * 2 ** (len(params.channels) - 1)):
        raise ValueError(
            f"ingest.size = {size} cannot be halved through diffusion.unshuffle = {params.unshuffle} and "
            f"{len(params.channels)} diffusion.channels: it must be a multiple of {factor}"
        )
    sides = [network_side(params, size) >> level for level in range(len(params.channels))]
    if missing := [side for side in params.attention if side not in sides]:
        raise ValueError(
            f"diffusion.attention = {missing[0]} is the side of no level: with ingest.size = {size} the levels have "
            f"{', '.join(map(str, sides))}"
        )
