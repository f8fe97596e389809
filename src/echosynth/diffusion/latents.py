"""The space that the latent route diffuses in: codes of the autoencoder, scaled to unit variance and padded."""

from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json, write_json
from echosynth.common.weights import load_weights, save_weights
from echosynth.compute.device import autocast, to_tensor
from echosynth.diffusion.autoencoder import Autoencoder
from echosynth.diffusion.options import AutoencoderParams, DiffusionParams, network_side
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.imagesets.store import Images

BATCH = 64  # images at a time through the autoencoder


class LatentCard(BaseModel):
    """What must be known to use the autoencoder: stored beside its weights as autoencoder.json.

    Attributes:
        size: side S of the images in pixels.
        side: side of the padded codes.
        autoencoder: layers and training.
        mean: of each channel of the codes of the training images.
        deviation: standard deviation of each channel of the same codes.
        training_images: their number.
        training_hash: identifies them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["autoencoder"] = "autoencoder"
    size: int = Field(ge=1)
    side: int = Field(ge=1)
    autoencoder: AutoencoderParams
    mean: tuple[float, ...]
    deviation: tuple[Annotated[float, Field(gt=0)], ...]
    training_images: int
    training_hash: str

    @model_validator(mode="after")
    def _parts_fit(self) -> "LatentCard":
        channels = self.autoencoder.latent_channels
        if {len(self.mean), len(self.deviation)} != {channels}:
            raise ValueError(f"mean and deviation must have a value for each of {channels} channels")
        if self.side < self.size >> (len(self.autoencoder.channels) - 1):
            raise ValueError(f"side = {self.side} is smaller than the codes")
        return self


def pad(latents: torch.Tensor, side: int) -> torch.Tensor:
    """Pad (B, c, s, s) to (B, c, side, side): zeros around, one more below and on the right where they cannot be
    shared.

    Medfusion's U-Net fails without it on the codes of 112 pixels: 112 / 8 = 14 cannot be halved twice. The border is a
    part of what is diffused and so of the losses.
    """
    before = (side - latents.shape[-1]) // 2
    after = side - latents.shape[-1] - before
    return F.pad(latents, (before, after, before, after))


def crop(latents: torch.Tensor, side: int) -> torch.Tensor:
    """Undo `pad`: (B, c, S, S) -> (B, c, side, side)."""
    first = (latents.shape[-1] - side) // 2
    return latents[..., first : first + side, first : first + side]


class LatentSpace:
    """A trained autoencoder with the scaling and the padding of its codes.

    Codes have mean 0 and variance 1 in each channel over the training images, since the noise schedules and the
    losses are made for such data (Rombach et al. 2022, appendix G, scale by one number for all channels). All is
    computed in fp32, a batch at a time; results lie on the device of what was handed in.

    Args:
        network: on its device.
        card: scaling, padding and where they come from.

    Attributes:
        shape: (c, side, side) of one image's codes.
    """

    gaussian: PixelGaussian | None = None  # pixels alone have one

    def __init__(self, network: Autoencoder, card: LatentCard) -> None:
        self.network = network.eval().requires_grad_(False)
        self.card = card
        self.device = next(network.parameters()).device
        self.shape = (card.autoencoder.latent_channels, card.side, card.side)
        self._mean = torch.tensor(card.mean, device=self.device).view(-1, 1, 1)
        self._deviation = torch.tensor(card.deviation, device=self.device).view(-1, 1, 1)

    @classmethod
    def fit(cls, network: Autoencoder, params: DiffusionParams, images: Images, data_hash: str) -> "LatentSpace":
        """Measure the scaling of a trained autoencoder's codes on its training images.

        Args:
            network: trained, on its device.
            params: section `diffusion`; its `channels` say what the codes are padded to.
            images: (N, S, S) uint8, the training images.
            data_hash: identifies them.

        Raises:
            EchosynthError: a channel says nothing, since the Kullback-Leibler term has won.
        """
        deviation, mean = _channel_statistics(network.eval(), images)
        if dead := [channel for channel, value in enumerate(deviation) if not value > 0]:
            raise EchosynthError(
                f"channel {dead[0]} of the autoencoder's codes is the same for all images: lower "
                f"diffusion.autoencoder.kl_weight ({params.autoencoder.kl_weight}) or "
                f"diffusion.autoencoder.latent_channels ({params.autoencoder.latent_channels})"
            )
        card = LatentCard(
            size=images.shape[-1],
            side=network_side(params, images.shape[-1]),
            autoencoder=params.autoencoder,
            mean=tuple(mean),
            deviation=tuple(deviation),
            training_images=len(images),
            training_hash=data_hash,
        )
        return cls(network, card)

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode to codes (B, c, side, side) float32: the posterior's means, scaled and padded.

        Args:
            images: (B, 1, S, S) in [-1, 1].
        """
        codes = [
            pad((_means(self.network, batch) - self._mean) / self._deviation, self.card.side).to(images.device)
            for batch in images.split(BATCH)
        ]
        return torch.cat(codes)

    def encode_images(self, images: Images) -> torch.Tensor:
        """Encode images (N, S, S) uint8 as `encode` does, to codes on the CPU."""
        batches = [self.encode(to_tensor(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
        return torch.cat(batches)

    @torch.no_grad()
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Decode to images (B, 1, S, S) float32 in [-1, 1].

        Args:
            codes: (B, c, side, side).
        """
        pictures = []
        with autocast(self.device, "fp32"):
            for batch in codes.split(BATCH):
                latents = crop(batch.to(self.device).float(), self.network.latent_side) * self._deviation + self._mean
                pictures.append(self.network.decode(latents).clamp(-1, 1).to(codes.device))
        return torch.cat(pictures)

    def save(self, folder: Path) -> None:
        """Write autoencoder.safetensors and autoencoder.json into an existing folder.

        Raises:
            EchosynthError: they cannot be written.
        """
        save_weights(self.network.state_dict(), folder / "autoencoder.safetensors")
        write_json(folder / "autoencoder.json", self.card.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path | str, device: torch.device) -> "LatentSpace":
        """Read back what `save` wrote.

        Raises:
            EchosynthError: a file is missing or torn, or card and weights do not belong together.
        """
        path = Path(folder) / "autoencoder.json"
        try:
            card = LatentCard.model_validate(read_json(path))
            network = Autoencoder(card.autoencoder, card.size)
        except ValidationError as error:
            raise EchosynthError(
                f"{path} is no card of an autoencoder ({error.errors()[0]['msg']}); make it anew with `dvc repro`"
            ) from None
        load_weights(network, path.with_suffix(".safetensors"))
        return cls(network.to(device), card)


@torch.no_grad()
def _means(network: Autoencoder, images: torch.Tensor) -> torch.Tensor:
    """Compute means of q(z | x), (B, c, s, s) float32 on the network's device, for images (B, 1, S, S); fp32 also
    inside a training loop's autocast."""
    device = next(network.parameters()).device
    with autocast(device, "fp32"):
        return network.posterior(images.to(device).float())[0]


def _channel_statistics(network: Autoencoder, images: Images) -> tuple[list[float], list[float]]:
    """Compute standard deviation and mean of each channel of the codes of images (N, S, S) uint8, in float64."""
    batches = [_means(network, to_tensor(images[i : i + BATCH])).cpu() for i in range(0, len(images), BATCH)]
    deviation, mean = torch.std_mean(torch.cat(batches).double(), dim=(0, 2, 3), correction=0)
    return deviation.tolist(), mean.tolist()


def reconstruction(space: LatentSpace, images: Images) -> dict[str, float]:
    """Measure how well images (N, S, S) uint8 survive encoding and decoding to 8 bit.

    Returns:
        psnr: peak signal-to-noise ratio in dB, mean over the images, for a range of 255; an image without any error
            counts as if one of its pixels were off by one grey level, so that the mean stays finite.
        mae: mean absolute error in grey levels.
    """
    ratios, absolute = 0.0, 0.0
    for i in range(0, len(images), BATCH):
        batch = torch.from_numpy(images[i : i + BATCH]).double()
        decoded = space.decode(space.encode_images(images[i : i + BATCH]))[:, 0].double()
        difference = ((decoded + 1) * 127.5).round() - batch
        squared = difference.square().flatten(1).mean(1).clamp(min=1 / batch[0].numel())
        ratios += (10 * torch.log10(255**2 / squared)).sum().item()
        absolute += difference.abs().flatten(1).mean(1).sum().item()
    return {"psnr": ratios / len(images), "mae": absolute / len(images)}
