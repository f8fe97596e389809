"""Options of the generative model and of the sets that it makes: their choices, ranges and rules, each said here alone.

The modules that implement a choice take its type from here; tables of code are typed by it.
A rule that breaks is an `OptionError`, whether params.yaml breaks it or the card of a stored model.
"""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from echosynth.common.errors import OptionError
from echosynth.common.options import Positive, Precision, Section, Seed

Space = Literal["pixel", "latent"]  # what is diffused
Schedule = Literal["linear", "scaled-linear", "cosine", "sigmoid", "flow"]  # how the noise grows
Prediction = Literal["epsilon", "x0", "v", "flow", "edm"]  # what the network says
Variance = Literal["fixed-small", "fixed-large", "learned"]  # of the reverse steps
Loss = Literal["simple", "min-snr", "edm", "hybrid", "variational"]
Preconditioning = Literal["none", "gaussian"]  # what of the image is known without the network
Patching = Literal["unshuffle", "haar"]  # how squares of pixels become channels
TimestepSampling = Literal["uniform", "loss-second-moment", "logit-normal", "log-normal"]  # how training draws t
Reconstruction = Literal["absolute", "squared-ssim"]  # error of the autoencoder
Decay = Literal["cosine", "constant"]  # of the learning rate after the warm-up
Solver = Literal["ancestral", "ddim", "dpm++", "unipc", "heun"]  # from noise to images
ViewShares = Literal["balanced", "real"]  # of the views in a set
SourceShares = Literal["real", "balanced", "none"]  # of the sources within a view; beside these, the name of one


SSIM_WINDOW = 11  # side in pixels, Wang et al. 2004


class AutoencoderParams(Section):
    """The autoencoder of the latent route (Medfusion)."""

    channels: list[Positive] = Field(min_length=2)
    latent_channels: Positive
    blocks: Positive
    steps: Positive
    batch_size: Positive
    learning_rate: float = Field(gt=0, le=1)
    kl_weight: float = Field(ge=0)
    loss: Reconstruction = "absolute"  # likewise
    augment: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _groups_fit(self) -> "AutoencoderParams":
        if any(width % 4 for width in self.channels):
            raise OptionError(f"diffusion.autoencoder.channels = {self.channels} must all be multiples of 4")
        return self


class DiffusionParams(Section):
    """The generative model and its training."""

    seed: Seed
    space: Space
    autoencoder: AutoencoderParams
    timesteps: int = Field(ge=10, le=10_000)
    schedule: Schedule
    zero_terminal_snr: bool
    prediction: Prediction
    variance: Variance
    loss: Loss
    min_snr_gamma: float = Field(gt=0)
    preconditioning: Preconditioning
    gaussian_directions: Positive
    timestep_sampling: TimestepSampling
    unshuffle: Literal[1, 2, 4]
    patching: Patching
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
    decay: Decay
    weight_decay: float = Field(ge=0)
    gradient_clip: float = Field(gt=0)
    ema_decays: list[Annotated[float, Field(ge=0, lt=1)]] = Field(min_length=1, max_length=2)
    ema_warmup: bool = True  # as it was while cards did not say
    augment: float = Field(ge=0, le=1)
    augment_share: float = Field(ge=0, le=1)
    augment_told: bool
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
        if (learned and self.loss in ("simple", "min-snr", "edm")) or (not learned and self.loss == "hybrid"):
            raise OptionError(
                f"diffusion.loss = {self.loss} does not go with diffusion.variance = {self.variance}: a learned "
                "variance is trained by hybrid or variational alone, and hybrid needs one"
            )
        if self.zero_terminal_snr and self.prediction == "epsilon":
            raise OptionError(
                "diffusion.zero_terminal_snr leaves no image at the last step, where diffusion.prediction = epsilon "
                "says nothing: use v, x0, flow or edm"
            )
        if self.loss == "edm" and self.preconditioning == "none" and self.prediction != "edm":
            raise OptionError(
                "diffusion.loss = edm weighs by what a Gaussian leaves open: set diffusion.preconditioning to gaussian "
                "or diffusion.prediction to edm"
            )
        if self.loss == "variational" and self.timestep_sampling in ("logit-normal", "log-normal"):
            raise OptionError(
                f"diffusion.timestep_sampling = {self.timestep_sampling} makes some steps count more, so that "
                "diffusion.loss = variational would be no bound: use uniform or loss-second-moment"
            )
        if self.preconditioning == "gaussian" and self.space == "latent":
            raise OptionError(
                "diffusion.preconditioning = gaussian knows pixels alone: set it to none with diffusion.space = latent"
            )
        if len(set(self.ema_decays)) < len(self.ema_decays):
            raise OptionError("diffusion.ema_decays names a decay twice")
        if any(width % 4 for width in self.channels):
            raise OptionError(f"diffusion.channels = {self.channels} must all be multiples of 4 (better of 32)")
        # The deepest level has attention always.
        attending = self.channels if self.attention else self.channels[-1:]
        if odd := [width for width in attending if width % self.head_channels]:
            raise OptionError(
                f"diffusion.head_channels = {self.head_channels} does not divide the {odd[0]} of diffusion.channels"
            )
        if self.augment_told and not (self.augment and self.augment_share):
            raise OptionError(
                "diffusion.augment_told = true tells of an augmentation that is not there: set diffusion.augment and "
                "diffusion.augment_share above 0, or diffusion.augment_told to false"
            )
        if self.snapshot_images == 1:
            raise OptionError("diffusion.snapshot_images = 1 gives no distance: set it to 0 (none) or to 2 or more")
        if self.patience and not self.snapshot_images:
            raise OptionError("diffusion.patience needs scores of the snapshots: set diffusion.snapshot_images above 0")
        return self


class SolverParams(Section):
    """How noise becomes images: the solver of the reverse process, and what guides it."""

    solver: Solver
    evaluations: int = Field(ge=1, le=10_000)
    eta: float = Field(ge=0, le=1)
    guidance: float = Field(ge=0, le=1000)
    guidance_interval: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=2, max_length=2)
    autoguidance: float = Field(ge=0, lt=1)

    @classmethod
    def plain(cls, solver: Solver, evaluations: int) -> "SolverParams":
        """Take a solver as it is: deterministic where it can be, and without guidance."""
        return SolverParams(
            solver=solver,
            evaluations=evaluations,
            eta=0.0,
            guidance=1.0,
            guidance_interval=[0.0, 1.0],
            autoguidance=0.0,
        )

    @model_validator(mode="after")
    def _solver_and_guidance_fit(self) -> "SolverParams":
        if self.eta and self.solver != "ddim":
            raise OptionError(f"sample.eta = {self.eta} has a meaning for sample.solver = ddim only: set it to 0")
        if self.autoguidance and self.guidance == 1:
            raise OptionError(
                f"sample.autoguidance = {self.autoguidance} does nothing with sample.guidance = 1: set that above 1"
            )
        if self.guidance_interval[0] > self.guidance_interval[1]:
            raise OptionError(f"sample.guidance_interval = {self.guidance_interval} must rise, such as [0.2, 0.8]")
        return self


class SampleParams(SolverParams):
    """The synthetic sets: what their images show, and how they are made."""

    seed: Seed
    per_view: Positive
    views: ViewShares
    sources: SourceShares | str
    batch_size: Positive


def check_guidance(model: DiffusionParams, options: SolverParams) -> None:
    """Check that a model can be guided as it is asked to be: by the null view, which it must have been trained on, or
    by an earlier snapshot of itself.

    Raises:
        OptionError: it was never shown an image without a view.
    """
    if options.guidance != 1 and not options.autoguidance and not model.view_dropout:
        raise OptionError(
            f"sample.guidance = {options.guidance} needs a model that also knows images without a view: train it with "
            "diffusion.view_dropout above 0, or set sample.guidance to 1"
        )


def check_sources(model: DiffusionParams, known: Collection[str], sources: SourceShares | str) -> None:
    """Check that a model can be told the sources that a set asks for.

    Args:
        model: its training; a source is left out (`none`) where training did so too.
        known: names of the sources that it is told apart; of no account where it is told none.
        sources: sample.sources.

    Raises:
        OptionError: it is told no sources, always told one, or knows others.
    """
    if not model.source_conditioning or not known:
        if sources not in ("real", "none"):
            raise OptionError(
                f"sample.sources = {sources}, but this model is not told the source; set it to none, or train a model "
                "with diffusion.source_conditioning = true"
            )
    elif sources == "none":
        if not model.source_dropout:
            raise OptionError(
                "sample.sources = none, but this model is always told the source (diffusion.source_dropout = 0); set "
                "it to real or balanced, or train a model with diffusion.source_dropout above 0"
            )
    elif sources not in ("real", "balanced", *known):
        raise OptionError(
            f"sample.sources = {sources}, but this model knows {', '.join(known)} alone; name one of these, or real, "
            "balanced or none"
        )


def network_side(params: DiffusionParams, size: int) -> int:
    """Compute the side of what the U-Net's first level sees for images of side `size`: unshuffled pixels, or padded
    latents."""
    if params.space == "pixel":
        return size // params.unshuffle
    factor, deepest = 2 ** (len(params.autoencoder.channels) - 1), 2 ** (len(params.channels) - 1)
    return -(-(size // factor) // deepest) * deepest


def check_autoencoder_levels(params: AutoencoderParams, size: int) -> None:
    """Check that the autoencoder can be built for images of side `size`.

    Raises:
        OptionError: its levels do not divide the size, or leave a single pixel, see `check_levels`.
    """
    if size % (factor := 2 ** (len(params.channels) - 1)):
        raise OptionError(
            f"ingest.size = {size} cannot be halved through {len(params.channels)} diffusion.autoencoder.channels: it "
            f"must be a multiple of {factor}"
        )
    if size == factor:
        raise OptionError(_one_pixel(size, "diffusion.autoencoder.channels", len(params.channels)))
    if params.loss == "squared-ssim" and size < SSIM_WINDOW:
        raise OptionError(
            f"diffusion.autoencoder.loss = squared-ssim compares windows of {SSIM_WINDOW} pixels: with ingest.size = "
            f"{size} take absolute"
        )


def _one_pixel(size: int, key: str, levels: int) -> str:
    return (
        f"with ingest.size = {size} the last of {levels} {key} would have a side of 1 pixel, of which group "
        "normalisation leaves next to nothing: take fewer, or larger images"
    )


def check_levels(params: DiffusionParams, size: int) -> None:
    """Check that the diffusion model can be built for images of side `size`, and trained and sampled one at a time:
    PyTorch refuses to normalise a group of a single number, which a channel of one pixel may be.

    Raises:
        OptionError: naming the parameter that does not fit.
    """
    if params.space == "latent":
        if params.unshuffle != 1:
            raise OptionError(f"diffusion.unshuffle = {params.unshuffle} must be 1 with diffusion.space = latent")
        check_autoencoder_levels(params.autoencoder, size)
    elif size % (factor := params.unshuffle * 2 ** (len(params.channels) - 1)):
        raise OptionError(
            f"ingest.size = {size} cannot be halved through diffusion.unshuffle = {params.unshuffle} and "
            f"{len(params.channels)} diffusion.channels: it must be a multiple of {factor}"
        )
    sides = [network_side(params, size) >> level for level in range(len(params.channels))]
    if sides[-1] == 1:
        raise OptionError(_one_pixel(size, "diffusion.channels", len(params.channels)))
    if missing := [side for side in params.attention if side not in sides]:
        raise OptionError(
            f"diffusion.attention = {missing[0]} is the side of no level: with ingest.size = {size} the levels have "
            f"{', '.join(map(str, sides))}"
        )
