"""The denoising network: a U-Net of diffusers behind an optional transform of squares of pixels, told the view and the
source."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from echosynth.common.views import VIEWS
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.diffusion.options import DiffusionParams, check_levels, network_side
from echosynth.imagesets.augment import AMOUNTS

NULL_VIEW = len(VIEWS)


def haar_matrix(side: int) -> torch.Tensor:
    """Compute the orthonormal Haar transform (Haar 1910) of squares of `side` (1, 2 or 4) pixels, (side^2, side^2): row
    k holds the k-th pattern, pixels in the order of the rows."""
    step = torch.ones(1, 1)
    while len(step) < side:
        means = torch.kron(step, torch.tensor([[1.0, 1.0]]))
        differences = torch.kron(torch.eye(len(step)), torch.tensor([[1.0, -1.0]]))
        step = torch.cat([means, differences]) / math.sqrt(2)
    return torch.kron(step, step)


class ViewDenoiser(nn.Module):
    """U-Net that sees (B, C, S, S) as (B, C u^2, S/u, S/u): for u = 2 a quarter of the arithmetic at the same side.

    The u^2 channels of a square are its pixels (`unshuffle`) or its Haar coefficients (`haar`), of which the first is
    coarse and the others hold the detail.

    With Gaussian preconditioning it sees twice the channels (see `echosynth.diffusion.preconditioning`) and its last
    convolution starts at 0, as in Improved Diffusion's code: the untrained model is the Gaussian.

    View and source have an embedding each, with a null token each for "not told" (classifier-free guidance: Ho &
    Salimans 2022); their sum joins the embedding of the time step.

    Args:
        params: channels, blocks, attention, patches and so on of the parameters.
        size: side of the images in pixels.
        sources: number of sources S that it can be told; the index S is the null token.

    Raises:
        OptionError: the levels do not divide the size, or no level has a side with attention.
    """

    patches: torch.Tensor | None

    def __init__(self, params: DiffusionParams, size: int, sources: int) -> None:
        super().__init__()
        check_levels(params, size)
        _torchvision.make_importable()
        from diffusers.models import UNet2DModel

        channels, side = tuple(params.channels), network_side(params, size)
        attention = [side >> level in params.attention for level in range(len(channels))]
        self.unshuffle = params.unshuffle
        patches = haar_matrix(params.unshuffle) if params.patching == "haar" and params.unshuffle > 1 else None
        self.register_buffer("patches", patches, persistent=False)
        preconditioned = params.preconditioning == "gaussian"
        self.null_source = sources
        # The embedding of t knows 0 to 1000: other lengths of the process are stretched to that.
        self.time_scale = 1000 / params.timesteps
        image_channels = 1 if params.space == "pixel" else params.autoencoder.latent_channels
        outputs = 2 if params.variance == "learned" else 1
        self.unet = UNet2DModel(
            sample_size=side,
            in_channels=image_channels * params.unshuffle**2 * (2 if preconditioned else 1),
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
        # From -1 to 1 at any strength; nothing is added for images that are not changed (Karras et al. 2022, app. F.2).
        self.augment_scale = 1 / params.augment if params.augment else 1.0
        self.augment_embedding = nn.Linear(AMOUNTS, width, bias=False) if params.augment_told else None
        if preconditioned:
            nn.init.zeros_(self.unet.conv_out.weight)
            nn.init.zeros_(self.unet.conv_out.bias)
        if params.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()

    def forward(
        self,
        x: torch.Tensor,
        t: torch.Tensor,
        views: torch.Tensor,
        sources: torch.Tensor,
        amounts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict what the process asks for.

        Args:
            x: (B, C, S, S) noisy images, or (B, 2 C, S, S) with Gaussian preconditioning.
            t: (B,) steps in 0 ... T-1.
            views: (B,) indices of `VIEWS`, or `NULL_VIEW`.
            sources: (B,) indices, or `null_source`.
            amounts: (B, 5), how much each image was changed in training, for a network that is told; None: not at all.

        Returns:
            (B, C, S, S), or (B, 2 C, S, S) with a learned variance: the prediction, then the raw variance.
        """
        told = self.view_embedding(views) + self.source_embedding(sources)
        if amounts is not None and self.augment_embedding is not None:
            told = told + self.augment_embedding(amounts * self.augment_scale)
        out = self.unet(self._patched(F.pixel_unshuffle(x, self.unshuffle)), t * self.time_scale, told).sample
        return F.pixel_shuffle(self._patched(out, back=True), self.unshuffle)

    def _patched(self, x: torch.Tensor, back: bool = False) -> torch.Tensor:
        """Transform the channels (B, C u^2, s, s) of each square, or transform them back."""
        if self.patches is None:
            return x
        matrix = (self.patches.T if back else self.patches).to(x.dtype)
        return torch.einsum("ij,bcjhw->bcihw", matrix, x.unflatten(1, (-1, len(matrix)))).flatten(1, 2)
