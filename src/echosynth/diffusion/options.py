"""Options of the generative model and of the sets that it makes."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from echosynth.common.options import Positive, Precision, Section, Seed

Solver = Literal["ancestral", "ddim", "dpm++", "unipc", "heun"]


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
        if self.eta and self.solver != "ddim":
            raise ValueError(f"sample.eta = {self.eta} has a meaning for sample.solver = ddim only: set it to 0")
        if self.autoguidance and self.guidance == 1:
            raise ValueError(
                f"sample.autoguidance = {self.autoguidance} does nothing with sample.guidance = 1: set that above 1"
            )
        if self.guidance_interval[0] > self.guidance_interval[1]:
            raise ValueError(f"sample.guidance_interval = {self.guidance_interval} must rise, such as [0.2, 0.8]")
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
