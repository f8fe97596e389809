"""What PyTorch's own networks have and timm's lack: the study took its networks from PyTorch (torchvision)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

DROPOUT = 0.5
WIDE_SPREAD = 0.01  # standard deviation of the first weights of VGG16's wide layers
SIDE = 299  # of the pictures that InceptionV3 is made for, in pixels
AUXILIARY_WEIGHT = 0.4


class InceptionV3(nn.Module):
    """timm's InceptionV3 with the auxiliary classifier of Szegedy et al. 2016, section 4, on pictures of its own size:
    of smaller ones too little is left in front of the auxiliary classifier (at 112 pixels a map of 5 x 5).

    Args:
        network: timm's, with auxiliary logits.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, K) of pictures (B, C, H, W); while it is trained, the auxiliary ones too."""
        maps, auxiliary = self.network.forward_features(_enlarged(x))
        logits: torch.Tensor = self.network.forward_head(maps)
        return (logits, auxiliary) if self.training else logits

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Give the last maps (B, 2048, 8, 8) of pictures (B, C, H, W)."""
        maps: torch.Tensor = self.network.forward_features(_enlarged(x))[0]
        return maps

    def forward_head(self, maps: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Give the logits of such maps, or with `pre_logits` the features before the last layer."""
        found: torch.Tensor = self.network.forward_head(maps, pre_logits=pre_logits)
        return found


def _enlarged(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)


def options(architecture: str) -> dict[str, Any]:
    """What timm is told, to build the network of this name as PyTorch does."""
    if architecture == "vgg16":
        return {"drop_rate": DROPOUT}
    return {"drop_rate": DROPOUT, "aux_logits": True} if architecture == "inception_v3" else {}


def finished(architecture: str, network: nn.Module) -> nn.Module:
    """A network of timm's as PyTorch has it.

    VGG16's two wide layers are convolutions here and begin as such; PyTorch draws them like linear layers, from a
    narrow normal distribution.
    """
    if architecture == "vgg16":
        for layer in (network.pre_logits.fc1, network.pre_logits.fc2):  # type: ignore[union-attr]
            nn.init.normal_(layer.weight, std=WIDE_SPREAD)  # type: ignore[union-attr, arg-type]
    return InceptionV3(network) if architecture == "inception_v3" else network


def cross_entropy(
    output: torch.Tensor | tuple[torch.Tensor, torch.Tensor], labels: torch.Tensor, **options: Any
) -> torch.Tensor:
    """Cross-entropy of logits (B, K); of auxiliary ones too, with less weight.

    Args:
        output: of a network.
        labels: (B,) classes, or (B, K) their probabilities.
        options: of `torch.nn.functional.cross_entropy`.
    """
    if isinstance(output, torch.Tensor):
        return F.cross_entropy(output.float(), labels, **options)
    logits, auxiliary = output
    return cross_entropy(logits, labels, **options) + AUXILIARY_WEIGHT * cross_entropy(auxiliary, labels, **options)
