"""Features that sets of images are compared by: of a network trained on real echo images, and of Inception."""

import hashlib
import re
from pickle import UnpicklingError

import numpy as np
import torch
from torch import nn

from echosynth.classifier.frozen import frozen_features
from echosynth.classifier.pretrained import find_weights, grey_network, read_pretrained
from echosynth.common.errors import EchosynthError
from echosynth.common.files import ignored_input
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.compute.device import pick_device
from echosynth.evaluation.frechet import Features
from echosynth.imagesets.store import Images

INCEPTION_DIMENSIONS = 2048


def echo_features(network: nn.Module, images: Images, batch_size: int | None = 256) -> Features:
    """Activations before the last layer of a timm classifier in eval mode.

    Args:
        network: see `echosynth.classifier.network.build`.
        images: (N, S, S) uint8.
        batch_size: see `echosynth.classifier.frozen.frozen_features`.

    Returns:
        (N, D) float64.
    """
    return frozen_features(network, images, batch_size).astype(np.float64)


def load_imagenet(architecture: str, name: str, size: int) -> nn.Module | None:
    """A network of photographs, whose features `echo_features` gives, with the weights of a local file.

    Args:
        architecture: timm's name of it.
        name: see `echosynth.classifier.pretrained.find_weights`.
        size: smaller images are enlarged to this side in pixels; 0: none are.

    Returns:
        The network in eval mode; None where there is no such file.

    Raises:
        EchosynthError: the file holds something else.
    """
    file = find_weights(name)
    return grey_network(read_pretrained(architecture, file), 0, size or None).to(pick_device()) if file else None


def load_inception(name: str) -> nn.Module:
    """pytorch-fid's Inception network (last pooling layer, 2,048 features) with the FID weights of a local file.

    The file is read with `weights_only`, so that nothing in it is executed. Its name says what is in it, by the
    beginning of its SHA-256 as PyTorch's hub writes it, so that a stage which depends on the name depends on the
    weights.

    Args:
        name: `fidelity.inception_weights`, looked up as `echosynth.common.files.ignored_input` does.

    Raises:
        EchosynthError: the file is missing or holds something else.
    """
    weights = ignored_input(name)
    if not weights.is_file():
        raise EchosynthError(f'fidelity.inception_weights: {name} is missing; put the file there, or set it to ""')
    stated = re.search(r"-([0-9a-f]{8,})$", weights.stem)
    if not stated or not hashlib.sha256(weights.read_bytes()).hexdigest().startswith(stated[1]):
        raise EchosynthError(
            f"fidelity.inception_weights: the SHA-256 of {name} does not begin as its name ends; download it again and "
            "keep its name, pt_inception-2015-12-05-6726825d.pth"
        )
    _torchvision.make_importable()
    from pytorch_fid import inception

    download = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: torch.load(weights, map_location="cpu", weights_only=True)
    try:
        block = inception.InceptionV3.BLOCK_INDEX_BY_DIM[INCEPTION_DIMENSIONS]
        network: nn.Module = inception.InceptionV3([block]).eval().to(pick_device())
    except (RuntimeError, UnpicklingError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EchosynthError(
            f"fidelity.inception_weights: {weights} holds no Inception weights of pytorch-fid ({reason})"
        ) from None
    finally:
        inception.load_state_dict_from_url = download
    return network


@torch.no_grad()
def inception_features(network: nn.Module, images: Images, batch_size: int = 32) -> Features:
    """Features (N, 2048) float64 of grey images (N, S, S) uint8, shown as three equal channels in [0, 1]."""
    device = next(network.parameters()).device
    parts = []
    for first in range(0, len(images), batch_size):
        x = torch.from_numpy(images[first : first + batch_size])[:, None].float().div(255).expand(-1, 3, -1, -1)
        parts.append(network(x.to(device))[0].flatten(1).cpu().numpy())
    return np.concatenate(parts).astype(np.float64)
