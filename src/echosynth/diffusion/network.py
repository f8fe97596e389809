"""The denoising network: a U-Net of diffusers behind an optional pixel unshuffle, conditioned on the view."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from echosynth import _torchvision
from echosynth.config import DiffusionParams, check_levels
from echosynth.diffusion.process import Prediction, Schedule
from echosynth.errors import EchosynthError
from echosynth.files import read_json, write_json
from echosynth.views import VIEWS
from echosynth.weights import load_weights, save_weights

NULL_LABEL = len(VIEWS)


class DiffusionCard(BaseModel):
    """What must be known to use the weights: stored beside them as card.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "diffusion"
    views: tuple[str, ...] = VIEWS
    size: int
    unshuffle: int
    channels: tuple[int, ...]
    blocks: int
    attention_levels: tuple[int, ...]
    dropout: float
    timesteps: int
    schedule: Schedule
    prediction: Prediction
    training_images: int
    training_hash: str
    steps: int


class ViewDenoiser(nn.Module):
    """U-Net that sees a (B, 1, S, S) image as (B, u^2, S/u, S/u): for u = 2 a quarter of the arithmetic at the same
    side.

    Args:
        size: side S of the images in pixels; u times 2^(levels - 1) must divide it.
        unshuffle: u.
        channels: channels of each level.
        blocks: residual blocks a level.
        attention_levels: levels with self-attention, 0 is the finest.
        dropout: in the residual blocks.

    Raises:
        EchosynthError: the levels do not divide the size, or an attention level does not exist.
    """

    def __init__(
        self,
        size: int,
        unshuffle: int,
        channels: tuple[int, ...],
        blocks: int,
        attention_levels: tuple[int, ...],
        dropout: float,
    ) -> None:
        super().__init__()
        try:
            check_levels(size, unshuffle, channels, attention_levels)
        except ValueError as error:
            raise EchosynthError(str(error)) from None
        groups = math.gcd(32, *channels)
        _torchvision.make_importable()
        from diffusers.models import UNet2DModel

        levels = range(len(channels))
        self.unshuffle = unshuffle
        self.unet = UNet2DModel(
            sample_size=size // unshuffle,
            in_channels=unshuffle**2,
            out_channels=unshuffle**2,
            layers_per_block=blocks,
            block_out_channels=channels,
            down_block_types=tuple("AttnDownBlock2D" if i in attention_levels else "DownBlock2D" for i in levels),
            up_block_types=tuple("AttnUpBlock2D" if i in attention_levels else "UpBlock2D" for i in reversed(levels)),
            attention_head_dim=groups,
            norm_num_groups=groups,
            dropout=dropout,
            num_class_embeds=len(VIEWS) + 1,
        )

    def forward(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Predict for noisy images x (B, 1, S, S), steps t (B,) and labels (B,) (`NULL_LABEL`: no view told); same
        shape as x."""
        out = self.unet(F.pixel_unshuffle(x, self.unshuffle), t, labels).sample
        return F.pixel_shuffle(out, self.unshuffle)


def build(params: DiffusionParams, size: int) -> ViewDenoiser:
    """The network that the parameters describe, for images of side `size`; weights drawn from torch's global
    generator."""
    return ViewDenoiser(
        size, params.unshuffle, tuple(params.channels), params.blocks, tuple(params.attention_levels), params.dropout
    )


def save(folder: Path, weights: dict[str, torch.Tensor], card: DiffusionCard) -> None:
    """Write model.safetensors and card.json into an existing folder."""
    save_weights(weights, folder / "model.safetensors")
    write_json(folder / "card.json", card.model_dump(mode="json"))


def load(folder: Path | str, device: torch.device) -> tuple[ViewDenoiser, DiffusionCard]:
    """Read a trained network back, in eval mode.

    Raises:
        EchosynthError: a file is missing or torn, or card and weights do not belong together.
    """
    folder = Path(folder)
    try:
        card = DiffusionCard.model_validate(read_json(folder / "card.json"))
    except ValidationError as error:
        raise EchosynthError(
            f"{folder / 'card.json'} is no card of a diffusion model ({error.errors()[0]['msg']})"
        ) from None
    network = ViewDenoiser(card.size, card.unshuffle, card.channels, card.blocks, card.attention_levels, card.dropout)
    load_weights(network, folder / "model.safetensors")
    return network.eval().to(device), card
