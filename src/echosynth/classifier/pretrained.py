"""Networks with pretrained weights from a local file, given grey pictures exactly as they were trained to see colour.

Nothing is downloaded, nothing in a file is executed, and random weights never take the place of a file that is not
there.
"""

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from echosynth.classifier.as_in_pytorch import InceptionV3, options
from echosynth.common.errors import EchosynthError
from echosynth.common.files import ignored_input
from echosynth.common.views import VIEWS
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.compute.device import mixed_seed

Channels = tuple[float, float, float]
Tensors = dict[str, torch.Tensor]

PACKAGE = "package:"  # begins the name of a file of an installed package
# What torchvision calls otherwise than timm, by the beginning of the architecture's name.
RENAMED: dict[str, tuple[tuple[str, str], ...]] = {
    "densenet": ((r"\.(norm|conv)\.([12])\.", r".\1\2."),),  # in files from before torchvision 0.3
    "vgg": (
        (r"^classifier\.0\.", "pre_logits.fc1."),
        (r"^classifier\.3\.", "pre_logits.fc2."),
        (r"^classifier\.6\.", "head.fc."),
    ),
}
AUXILIARY = "AuxLogits."  # InceptionV3's second output, which some of timm's variants lack
# EfficientNet-PyTorch, whose files hold timm's tensors in timm's order under other names: the first of them, and what
# the lite networks were trained on, (pixel - 127) / 128.
IN_ORDER, LITE_MEAN, LITE_STD = "_conv_stem.weight", 127 / 255, 128 / 255


@dataclass(frozen=True)
class Pretrained:
    """Weights of a pretrained network.

    Attributes:
        architecture: timm's name of the network.
        tensors: its weights under timm's names, last layer included.
        mean: of each channel, which was subtracted from pixels in [0, 1] ...
        std: ... before they were divided by this.
        sha256: of the file.
    """

    architecture: str
    tensors: Tensors
    mean: Channels
    std: Channels
    sha256: str


def find_weights(name: str) -> Path | None:
    """Find a file of weights.

    Args:
        name: a path, looked up as `echosynth.common.files.ignored_input` does, or `package:NAME/PATH` for a file of an
            installed package, none of whose code is run.

    Returns:
        Its path, or None where there is no such file.
    """
    file = ignored_input(name)
    if name.startswith(PACKAGE):
        package, _, inside = name.removeprefix(PACKAGE).partition("/")
        found = importlib.util.find_spec(package) if package.isidentifier() else None
        places = found.submodule_search_locations if found else None
        if not places:
            return None
        file = Path(places[0]) / inside
    return file if file.is_file() else None


def read_pretrained(architecture: str, file: Path) -> Pretrained:
    """Read pretrained weights in timm's layout, in torchvision's (ResNet, DenseNet, VGG, InceptionV3) or in that of
    EfficientNet-PyTorch.

    Args:
        architecture: timm's name of the network, such as densenet121.
        file: safetensors, or a file of `torch.save` (.pth), which is read with `weights_only`. A name that ends in
            "-" and eight hex digits or more, as those of PyTorch's hub do, says how the SHA-256 begins.

    Raises:
        EchosynthError: the file is torn, is not what its name says, or holds another architecture.
    """
    sha256 = sha256_of(file)
    stated = re.search(r"-([0-9a-f]{8,})$", file.stem)
    if stated and not sha256.startswith(stated[1]):
        raise _refused(architecture, file, "its SHA-256 does not begin as its name ends")
    stored = _stored(architecture, file)
    network = _timm_network(architecture)
    wanted, settings = network.state_dict(), cast(dict[str, Any], network.pretrained_cfg)
    mean, std = tuple(settings["mean"]), tuple(settings["std"])
    if IN_ORDER in stored:
        stored, mean, std = _in_order(architecture, file, stored, wanted), (LITE_MEAN,) * 3, (LITE_STD,) * 3
    tensors = _renamed(architecture, stored, wanted)
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise _refused(architecture, file, _first_complaint(error)) from None
    return Pretrained(architecture, network.state_dict(), mean, std, sha256)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def colour_network(weights: Pretrained) -> nn.Module:
    """Make the whole pretrained network, from (B, 3, H, W) that `mean` and `std` were applied to, to the logits of its
    own classes, in eval mode."""
    network = _timm_network(weights.architecture)
    network.load_state_dict({name: tensor.clone() for name, tensor in weights.tensors.items()}, assign=True)
    return network.eval()


def grey_network(weights: Pretrained, seed: int, size: int | None = None) -> nn.Module:
    """Make a pretrained network for one grey channel with a new last layer for the views, ready for fine-tuning of all
    layers, or, frozen, for `echosynth.classifier.frozen.frozen_features`.

    Args:
        weights: what it knows.
        seed: of the new layer's weights.
        size: smaller pictures are enlarged to this side in pixels; None: none are.

    Returns:
        Module from (B, 1, S, S) in [-1, 1] to logits (B, 4) in the order of `VIEWS`, in eval mode, as
        `echosynth.classifier.network.build` makes it. Its features are those of the pretrained network for three
        equal channels, but for rounding, also at the borders.

    Raises:
        EchosynthError: the architecture does not begin with a convolution of three channels, or its pictures are all
            of one size.
    """
    network = colour_network(weights)
    settings: Any = network.pretrained_cfg
    name = settings.get("first_conv")
    stem = network.get_submodule(name) if isinstance(name, str) else None
    if not isinstance(stem, nn.Conv2d) or stem.weight.shape[1] != 3 or settings.get("fixed_input_size"):
        raise EchosynthError(
            f"{weights.architecture} is no convolutional network whose first layer sees three "
            "channels, so that it cannot be given grey pictures of any size; name another architecture"
        )
    network.set_submodule(str(name), GreyStem(stem, weights.mean, weights.std, size))
    torch.manual_seed(mixed_seed(seed, 0))
    network.reset_classifier(len(VIEWS))  # type: ignore[operator]
    if weights.architecture == "inception_v3":
        auxiliary: Any = network.AuxLogits
        auxiliary.fc = nn.Linear(auxiliary.fc.in_features, len(VIEWS))
        network = InceptionV3(network)
    return network.eval()


class GreyStem(nn.Module):
    """First convolution of a pretrained network for one grey channel in [-1, 1].

    The network was trained on (p - mean) / std of each channel, p in [0, 1]. For a picture that would be copied to
    three channels this is linear in x = 2 p - 1, so that it is folded into the weights, which are summed over channels
    (not averaged: the three channels added up). What is constant in it becomes the weights of a second channel that
    holds ones: a bias would be wrong at the borders, where the padding is zero after the normalisation.

    Args:
        stem: the convolution of three channels, which is changed and kept.
        mean: of each channel.
        std: of each channel.
        size: smaller pictures are enlarged to this side, bilinearly; None: none are.
    """

    def __init__(self, stem: nn.Conv2d, mean: Channels, std: Channels, size: int | None = None) -> None:
        super().__init__()
        with torch.no_grad():
            weight = stem.weight.double()  # (out, 3, k, k)
            scaled = weight / torch.tensor(std, dtype=torch.float64)[:, None, None]
            offsets = 0.5 - torch.tensor(mean, dtype=torch.float64)[:, None, None]
            folded = torch.stack([scaled.sum(1) / 2, (scaled * offsets).sum(1)], 1)
            stem.weight, stem.in_channels = nn.Parameter(folded.to(stem.weight.dtype)), 2
        self.stem, self.size = stem, size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps of the convolution for pictures (B, 1, S, S) in [-1, 1]."""
        if self.size is not None and x.shape[-1] < self.size:
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
        return self.stem(torch.cat([x, torch.ones_like(x)], 1))


def _timm_network(architecture: str) -> nn.Module:
    """timm's network as it was trained: three channels, all classes, and no numbers in it yet."""
    _torchvision.make_importable()
    import timm

    try:
        with torch.device("meta"):
            network: nn.Module = timm.create_model(architecture, **options(architecture))
    except RuntimeError as error:
        raise EchosynthError(f"timm makes no network {architecture!r} ({error})") from None
    return network


def _stored(architecture: str, file: Path) -> Tensors:
    """Tensors of a file by name."""
    try:
        if file.suffix == ".safetensors":
            content: object = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise _refused(architecture, file, f"it is damaged or no such file: {_first_complaint(error)}") from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise _refused(architecture, file, "it is no list of tensors by name")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in content.items()}


def _renamed(architecture: str, stored: Tensors, wanted: Tensors) -> Tensors:
    """Stored tensors under timm's names; where timm convolves what torchvision multiplies, in timm's shape."""
    rules = next((rules for family, rules in RENAMED.items() if architecture.startswith(family)), ())
    renamed = {}
    for name, tensor in stored.items():
        if name.startswith(AUXILIARY) and f"{AUXILIARY}fc.weight" not in wanted:
            continue
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        shape = wanted[name].shape if name in wanted else tensor.shape
        flat = tensor.ndim == 2 and len(shape) == 4 and tensor.numel() == shape.numel()
        renamed[name] = tensor.reshape(shape) if flat else tensor
    return renamed


def _in_order(architecture: str, file: Path, stored: Tensors, wanted: Tensors) -> Tensors:
    """Tensors that are stored in timm's order, under timm's names."""
    kinds, own = ([(name.rpartition(".")[2], tensor.shape) for name, tensor in of.items()] for of in (stored, wanted))
    if kinds != own:
        raise _refused(architecture, file, "its tensors are not those of this network in their order")
    return dict(zip(wanted, stored.values(), strict=True))


def _first_complaint(error: Exception) -> str:
    """The beginning of what a library says, on one line."""
    return " ".join(str(error).split())[:200]


def _refused(architecture: str, file: Path, reason: str) -> EchosynthError:
    return EchosynthError(
        f"{file} holds no weights of {architecture} in timm's or torchvision's layout ({reason}); "
        "download it again or name another file"
    )
