"""The denoising network: a U-Net of diffusers behind an optional pixel unshuffle, told the view and the source."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from echosynth.common.views import VIEWS
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.diffusion.options import DiffusionParams, check_levels, network_side

NULL_VIEW = len(VIEWS)


class ViewDenoiser(nn.Module):
    """U-Net that sees (B, C, S, S) as (B, C u^2, S/u, S/u): for u = 2 a quarter of the arithmetic at the same side.

    View and source have an embedding each, with a null token each for "not told" (classifier-free guidance: Ho &
    Salimans 2022); their sum joins the embedding of the time step.

    Args:
        params: channels, blocks, attention, pixel unshuffle and so on of the parameters.
        size: side of the images in pixels.
        sources: number of sources S that it can be told; the index S is the null token.

    Raises:
        OptionError: the levels do not divide the size, or no level has a side with attention.
    """

    def __init__(self, params: DiffusionParams, size: int, sources: int) -> None:
        super().__init__()
        check_levels(params, size)
        _torchvision.make_importable()
        from diffusers.models import UNet2DModel

        channels, side = tuple(params.channels), network_side(params, size)
        attention = [side >> level in params.attention for level in range(len(channels))]
        self.unshuffle = params.unshuffle
        self.null_source = sources
        # The embedding of t knows 0 to 1000: other lengths of the process are stretched to that.
        self.time_scale = 1000 / params.timesteps
        image_channels = 1 if params.space == "pixel" else params.autoencoder.latent_channels
        outputs = 2 if params.variance == "learned" else 1
        self.unet = UNet2DModel(
            sample_size=side,
            in_channels=image_channels * params.unshuffle**2,
            out_channels=outputs * image_channels * params.unshuffle**2,
            layers_per_block=params.blocks,
            block_out_channels=channels,
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
            attention_head_dim=params.head_channels,
            norm_num_groups=math.gcd(32, *channels),
            resnet_time_scale_shift="scale_shift" if params.scale_shift else "default",
            dropout=params.dropout,
            class_embed_type="identity",
        )
        width = 4 * channels[0]  # of the embedding of the time step, fixed by diffusers
        self.view_embedding = nn.Embedding(len(VIEWS) + 1, width)
        self.source_embedding = nn.Embedding(sources + 1, width)
        if params.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()

    def forward(self, x: torch.Tensor, t: torch.Tensor, views: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """Predict what the process asks for.

        Args:
            x: (B, C, S, S) noisy images.
            t: (B,) steps in 0 ... T-1.
            views: (B,) indices of `VIEWS`, or `NULL_VIEW`.
            sources: (B,) indices, or `null_source`.

        Returns:
            (B, C, S, S), or (B, 2 C, S, S) with a learned variance: the prediction, then the raw variance.
        """
        told = self.view_embedding(views) + self.source_embedding(sources)
        out = self.unet(F.pixel_unshuffle(x, self.unshuffle), t * self.time_scale, told).sample
        return F.pixel_shuffle(out, self.unshuffle)
