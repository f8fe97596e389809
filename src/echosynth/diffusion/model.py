"""A trained diffusion model on disk: safetensors, a JSON card, and the statistics of its pixels or its autoencoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json, write_json
from echosynth.common.views import VIEWS
from echosynth.common.weights import load_weights, save_weights
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams, network_side
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.diffusion.process import Process

GAUSSIAN = "gaussian.safetensors"  # statistics of the training images, in the folder of a preconditioned model
# What a card says that was written before these options were there: there was no choice.
BEFORE_PRECONDITIONING = {
    "preconditioning": "none",
    "gaussian_directions": 1,
    "patching": "unshuffle",
    "augment_share": 1.0,
    "augment_told": False,
}


class DiffusionCard(BaseModel):
    """What must be known to use the weights: stored beside them as card.json.

    Attributes:
        views: names of the view tokens, in order.
        sources: names of the source tokens, in order; none for a model that is not told the source.
        size: side of the images in pixels.
        diffusion: network, process and training.
        training_images: images by view and source.
        training_hash: identifies them.
        step: optimisation steps before these weights.
        ema_decay: of the average that these weights are.
        kernel: kernel distance of its samples to the validation images on echo features, where snapshots were compared.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "diffusion"
    views: tuple[str, ...] = VIEWS
    sources: tuple[str, ...]
    size: int
    diffusion: DiffusionParams
    training_images: dict[str, dict[str, int]]
    training_hash: str
    step: int
    ema_decay: float
    kernel: float | None


class Space(Protocol):
    """What is diffused in place of pixels.

    Attributes:
        gaussian: of the training images' codes, where a model is preconditioned by it.
    """

    gaussian: PixelGaussian | None

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Turn images (B, 1, S, S) in [-1, 1] into codes (B, C, s, s)."""

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Turn codes (B, C, s, s) into images (B, 1, S, S), in about [-1, 1]."""

    def save(self, folder: Path) -> None:
        """Write what `load` needs to make it anew."""


class PixelSpace:
    """Pixels themselves.

    Args:
        gaussian: of the training images, on the device where it is used.
    """

    def __init__(self, gaussian: PixelGaussian | None = None) -> None:
        self.gaussian = gaussian

    @classmethod
    def load(cls, folder: Path, params: DiffusionParams, device: torch.device) -> "PixelSpace":
        """Read the statistics that a model with these parameters needs.

        Raises:
            EchosynthError: they are missing or damaged.
        """
        needed = params.preconditioning == "gaussian"
        return cls(PixelGaussian.load(folder / GAUSSIAN).to(device) if needed else None)

    def save(self, folder: Path) -> None:
        """Write gaussian.safetensors where there are statistics."""
        if self.gaussian:
            self.gaussian.save(folder / GAUSSIAN)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Hand the images back."""
        return images

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Hand the images back."""
        return codes


@dataclass(frozen=True)
class DiffusionModel:
    """A network with what it needs to sample.

    Attributes:
        network: in eval mode, on its device.
        process: that it was trained for.
        space: from its codes to pixels.
        shape: (C, s, s) of one image as the network sees it.
        bounded: codes lie in [-1, 1], so that estimates of x_0 may be clipped there.
    """

    network: ViewDenoiser
    process: Process
    space: Space
    shape: tuple[int, int, int]
    bounded: bool


def save(folder: Path, weights: Mapping[str, torch.Tensor], card: DiffusionCard) -> None:
    """Write model.safetensors and card.json into an existing folder."""
    save_weights(dict(weights), folder / "model.safetensors")
    write_json(folder / "card.json", card.model_dump(mode="json"))


def read_card(folder: Path | str) -> DiffusionCard:
    """Read the card of a trained model, an earlier one without options of today too.

    Raises:
        EchosynthError: it is missing, or is none.
    """
    path = Path(folder) / "card.json"
    try:
        content = read_json(path)
        if isinstance(content, dict) and isinstance(content.get("diffusion"), dict):
            content["diffusion"] = BEFORE_PRECONDITIONING | content["diffusion"]
            if "frechet" in content:  # by which snapshots were compared before
                del content["frechet"]
                content["kernel"] = None
        card = DiffusionCard.model_validate(content)
    except ValidationError as error:
        raise EchosynthError(
            f"{path} is no card of a diffusion model ({error.errors()[0]['msg']}); make the model anew with `dvc repro`"
        ) from None
    if card.views != VIEWS:
        raise EchosynthError(f"{path}: views {', '.join(card.views)} are not those of this project, {', '.join(VIEWS)}")
    return card


def load(folder: Path | str, device: torch.device, weights: str = "model.safetensors") -> DiffusionModel:
    """Read a trained model back, in eval mode.

    Args:
        folder: where `save` wrote it; statistics of the pixels, or the autoencoder, lie there too.
        device: where it is to compute.
        weights: file of the weights, below `folder`: a snapshot for instance.

    Raises:
        EchosynthError: a file is missing or torn, or card and weights do not belong together.
    """
    folder, card = Path(folder), read_card(folder)
    network = ViewDenoiser(card.diffusion, card.size, len(card.sources))
    load_weights(network, folder / weights)
    if card.diffusion.space == "latent":
        from echosynth.diffusion.latents import LatentSpace

        space: Space = LatentSpace.load(folder, device)
    else:
        space = PixelSpace.load(folder, card.diffusion, device)
    return assembled(network.eval().to(device), space, card.diffusion, card.size)


def assembled(network: ViewDenoiser, space: Space, params: DiffusionParams, size: int) -> DiffusionModel:
    """Put a network together with the process, the space and the shapes that belong to it.

    Args:
        network: in eval mode, on its device.
        space: from its codes to pixels.
        params: that the network was built from.
        size: side of the images in pixels.
    """
    process = Process(params, space.gaussian)
    if params.space == "pixel":
        return DiffusionModel(network, process, space, (1, size, size), True)
    side = network_side(params, size)
    return DiffusionModel(network, process, space, (params.autoencoder.latent_channels, side, side), False)
