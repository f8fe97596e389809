"""View classifiers: timm's networks for one grey channel, stored as safetensors with a JSON card."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from torch import nn

from echosynth.classifier.options import check_side
from echosynth.classifier.timm_networks import check_known, create
from echosynth.common.errors import EchosynthError, OptionError
from echosynth.common.files import read_json, write_json
from echosynth.common.options import Precision
from echosynth.common.paths import CARD, WEIGHTS
from echosynth.common.views import VIEWS
from echosynth.common.weights import load_weights, save_weights
from echosynth.compute.device import autocast, to_tensor
from echosynth.imagesets.options import Resampling

FORMER_ARMS = {"upsampled": "oversampled"}


class ClassifierCard(BaseModel):
    """What must be known to use the weights: stored beside them as card.json.

    Attributes:
        views: names of the outputs, in order.
        size: side of the input in pixels; a frame is prepared to it by `echosynth.imagesets.prepare.prepare`.
        resampling: how frames are made smaller, see `echosynth.imagesets.prepare.resize`.
        square_pixels: whether pixels that are not square are made so, see `echosynth.imagesets.prepare.prepare`.
        arm: what it was trained on: real, oversampled, synthetic, mixed.
        training_hash: identifies the training images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "classifier"
    views: tuple[str, ...] = VIEWS
    size: int
    resampling: Resampling
    square_pixels: bool = True  # as it was while cards did not say
    architecture: str
    arm: str
    subset: str
    seed: int
    steps: int
    training_images: dict[str, int]
    synthetic_images: int
    training_hash: str

    @field_validator("arm")
    @classmethod
    def _present_name(cls, arm: str) -> str:
        """The name of an arm on a card of an earlier version, as it is today."""
        return FORMER_ARMS.get(arm, arm)


def build(architecture: str, size: int) -> nn.Module:
    """A network with weights drawn from torch's global generator.

    Args:
        architecture: a name of timm's; resnet18, densenet121, vgg16 and inception_v3 are those of the study.
        size: side of the images in pixels.

    Returns:
        Module from (B, 1, size, size) in [-1, 1] to logits (B, 4) in the order of `VIEWS` (inception_v3: two of them
        while it is trained, see `echosynth.classifier.as_in_pytorch`). Its `forward_features` and
        `forward_head(x, pre_logits=True)` give the features before the last layer.

    Raises:
        EchosynthError: the images are too small for the architecture.
    """
    check_side("arms.architectures", architecture, size)
    return create(architecture, channels=1, classes=len(VIEWS), size=size)


def save(folder: Path, network: nn.Module, card: ClassifierCard) -> None:
    """Write model.safetensors and card.json into an existing folder."""
    save_weights(network.state_dict(), folder / WEIGHTS)
    write_json(folder / CARD, card.model_dump(mode="json"))


def load(folder: Path | str, device: torch.device) -> tuple[nn.Module, ClassifierCard]:
    """Read a trained classifier back, in eval mode.

    Raises:
        EchosynthError: a file is missing or torn, or card and weights do not belong together.
    """
    folder = Path(folder)
    try:
        card = ClassifierCard.model_validate(read_json(folder / CARD))
    except ValidationError as error:
        raise EchosynthError(f"{folder / CARD} is no card of a classifier ({error.errors()[0]['msg']})") from None
    if card.views != VIEWS:
        raise EchosynthError(f"{folder / CARD}: views {card.views} unknown here")
    try:
        check_known(card.architecture)
    except OptionError as error:
        raise EchosynthError(f"{folder / CARD}: {error}") from None
    network = build(card.architecture, card.size)
    load_weights(network, folder / WEIGHTS)
    return network.eval().to(device), card


@torch.no_grad()
def predict(
    network: nn.Module, images: npt.NDArray[np.uint8], precision: Precision = "fp32", batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """Class probabilities (N, 4) float32 for images (N, S, S) uint8, with a network in eval mode."""
    device = next(network.parameters()).device
    parts = []
    with autocast(device, precision):
        for first in range(0, len(images), batch_size):
            logits = network(to_tensor(images[first : first + batch_size]).to(device)).float()
            parts.append(logits.softmax(1).cpu().numpy())
    return np.concatenate(parts).astype(np.float32)
