"""Frozen networks: features of each image once, then a new last layer on them.

The study froze all but the last layer of networks that were trained on ImageNet, and passed each image through them in
every epoch. The features of an image are the same each time, so here they are computed once. For that the network is
in eval mode (no dropout inside it, batch normalisation by what it has learned), and images are not augmented.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from echosynth.classifier.options import TrainingParams
from echosynth.classifier.recipes import batch_indices
from echosynth.classifier.train import CurvePoint, TrainedClassifier, fit
from echosynth.common.arrays import Images
from echosynth.common.views import VIEWS
from echosynth.compute.device import mixed_seed, pick_device, to_tensor

Features = npt.NDArray[np.float32]
# Images that go through the network together. On a CPU the maps of more do not stay in its cache: EfficientNet-Lite0 at
# 112 pixels took 5.5 ms an image in batches of 16, 8 ms in those of 64, 14 ms in those of 128.
BATCH = {"cpu": 16, "cuda": 256}


@torch.no_grad()
def frozen_features(network: nn.Module, images: Images, batch_size: int | None = None) -> Features:
    """What the last layer of a network in eval mode sees.

    Args:
        network: see `echosynth.classifier.pretrained.grey_network`.
        images: (N, S, S) uint8.
        batch_size: images that go through it together, which makes no difference but in time, memory and rounding;
            None: as suits the device.

    Returns:
        (N, D) float32.
    """
    device = next(network.parameters()).device
    batch_size, parts = batch_size or BATCH[device.type], []
    for first in range(0, len(images), batch_size):
        maps = network.forward_features(to_tensor(images[first : first + batch_size]).to(device))  # type: ignore[operator]
        parts.append(network.forward_head(maps, pre_logits=True).flatten(1).cpu().numpy())  # type: ignore[operator]
    return np.concatenate(parts)


def head_dropout(network: nn.Module) -> float:
    """Share of the features that a timm network drops before its last layer while it is trained."""
    network = getattr(network, "network", network)  # of InceptionV3, see `echosynth.classifier.as_in_pytorch`
    inside = getattr(network, "head_drop", None) or getattr(getattr(network, "head", None), "drop", None)
    return float(inside.p if isinstance(inside, nn.Dropout) else getattr(network, "drop_rate", 0.0))


def train_head(
    params: TrainingParams,
    seed: int,
    features: Features,
    labels: npt.NDArray[np.int64],
    dropout: float = 0.0,
    evaluate: Callable[[nn.Module, CurvePoint], None] = lambda head, point: None,
    evaluations: int = 1,
    name: str = "",
) -> TrainedClassifier:
    """Train a last layer on features, by the optimiser, schedule and order of images of
    `echosynth.classifier.train.train`; nothing is augmented, and all is computed in fp32.

    Args:
        params: section `classifier` of the parameters.
        seed: of initial weights, order and dropout.
        features: (N, D) float32 of the training images.
        labels: (N,) views.
        dropout: see `head_dropout`.
        evaluate: called `evaluations` times on the way, the end included, with the layer in eval mode.
        name: of the training, which its progress shows.

    Returns:
        The trained layer, from (B, D) to logits (B, 4) in the order of `VIEWS`.

    Raises:
        EchosynthError: the loss is not finite.
    """
    device = pick_device()
    torch.manual_seed(mixed_seed(seed, 0))
    head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features.shape[1], len(VIEWS))).to(device)
    x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)

    def loss(head: nn.Module, step: int) -> torch.Tensor:
        if dropout:
            torch.manual_seed(mixed_seed(seed, 3, step))  # it takes as long as the step itself
        pick = batch_indices(len(x), params.batch_size, seed, step).to(device)
        return F.cross_entropy(head(x[pick]), y[pick])

    return fit(params, head, loss, len(features), evaluate, evaluations, name or "head training")


@torch.no_grad()
def predict_head(head: nn.Module, features: Features) -> npt.NDArray[np.float32]:
    """Class probabilities (N, 4) float32 for features (N, D), with a head in eval mode."""
    device = next(head.parameters()).device
    return head(torch.from_numpy(features).to(device)).softmax(1).cpu().numpy().astype(np.float32)
