"""Features that sets of images are compared by: of a network trained on real echo images, and of Inception."""

import hashlib
import re
from pickle import UnpicklingError

import numpy as np
import torch
from torch import nn

from echosynth.common.errors import EchosynthError
from echosynth.common.files import ignored_input
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.compute.device import pick_device, to_tensor
from echosynth.evaluation.frechet import Features
from echosynth.imagesets.store import Images

INCEPTION_DIMENSIONS = 2048


@torch.no_grad()
def echo_features(network: nn.Module, images: Images, batch_size: int = 256) -> Features:
    """Activations before the last layer of a timm classifier in eval mode.

    Args:
        network: see `echosynth.classifier.network.build`.
        images: (N, S, S) uint8.

    Returns:
        (N, D) float64.
    """
    device = next(network.parameters()).device
    parts = []
    for first in range(0, len(images), batch_size):
        maps = network.forward_features(to_tensor(images[first : first + batch_size]).to(device))  # type: ignore[operator]
        parts.append(network.forward_head(maps, pre_logits=True).flatten(1).cpu().numpy())  # type: ignore[operator]
    return np.concatenate(parts).astype(np.float64)


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
