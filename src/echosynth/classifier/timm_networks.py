"""timm's networks, each from its own file.

`import timm` imports all of its 90 families of networks, torchvision and the libraries of its model hub: more
processor time than PyTorch itself takes. A classifier needs one family, so the files of the families that the study
used are imported alone.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache, partial
from threading import Lock
from types import ModuleType
from typing import Any

import torch
from torch import nn

from echosynth.classifier.as_in_pytorch import finished, options
from echosynth.common.errors import OptionError
from echosynth.compute import torchvision_schemas as _torchvision

FAMILIES: dict[str, str] = {
    "resnet18": "resnet",
    "densenet121": "densenet",
    "vgg16": "vgg",
    "inception_v3": "inception_v3",
}
# Packages whose own `__init__` imports far more than the files in them that a family needs.
BARE = ("timm", "timm.models", "timm.data", "torchvision", "torchvision.ops")
# What timm goes without: tracing of features, and the hub of pretrained weights.
LEFT_OUT = ("torchvision.models", "huggingface_hub")
IMPORTING = Lock()  # meanwhile another thread would find the empty packages


def create(architecture: str, channels: int, classes: int, size: int) -> nn.Module:
    """One of timm's networks with weights drawn from torch's global generator, as `timm.create_model` makes it, but for
    what `echosynth.classifier.as_in_pytorch` says of those that the study used.

    Args:
        architecture: name of the network.
        channels: of its input.
        classes: of its output.
        size: side of its input in pixels, which some transformers are built for.
    """
    extra = options(architecture)
    if architecture not in FAMILIES and _timm().get_pretrained_cfg(architecture).fixed_input_size:
        extra = {"img_size": size}
    network = _maker(architecture)(pretrained=False, in_chans=channels, num_classes=classes, **extra)
    return finished(architecture, network)


def check_known(architecture: str) -> None:
    """Check that timm has a network of this name.

    Raises:
        OptionError: it has none.
    """
    if architecture in FAMILIES:
        return
    if architecture not in (names := set(_timm().list_models())):
        alike = get_close_matches(architecture, sorted(names), 3)
        advice = f"did you mean {', '.join(alike)}" if alike else "timm.list_models() lists them"
        raise OptionError(f"{architecture!r} is no network of timm's; {advice}")


@cache
def trains_on(architecture: str, size: int, images: int) -> bool:
    """Whether a network can be trained on so many grey images of this side a step: it is built and run without numbers,
    on PyTorch's device "meta"."""
    try:
        with torch.device("meta"), torch.no_grad():
            network = create(architecture, 1, 4, size).train()
            network(torch.zeros(images, 1, size, size))
    except Exception:  # whatever a network says of too small an input
        return False
    return True


def _timm() -> ModuleType:
    """The whole library."""
    _torchvision.make_importable()
    return importlib.import_module("timm")


@cache
def _maker(architecture: str) -> Callable[..., nn.Module]:
    """timm's function that makes a network."""
    if architecture not in FAMILIES:
        return partial(_timm().create_model, architecture)
    if "timm" not in sys.modules:
        try:
            with IMPORTING, _bare():
                maker: Callable[..., nn.Module] = getattr(_family(architecture), architecture)
                return maker
        except Exception:
            pass  # another version of timm, whose files want more of each other
    _torchvision.make_importable()
    maker = getattr(_family(architecture), architecture)
    return maker


def _family(architecture: str) -> ModuleType:
    return importlib.import_module(f"timm.models.{FAMILIES[architecture]}")


@contextmanager
def _bare() -> Iterator[None]:
    """Let files of timm and torchvision be imported without what their packages import. Afterwards all these modules
    are forgotten, so that whoever imports the packages gets them whole."""
    ours = [name for name in (*BARE, *LEFT_OUT) if name not in sys.modules]
    before = set(sys.modules)
    try:
        for name in ours:
            sys.modules[name] = _empty(name) if name in BARE else None  # type: ignore[assignment]  # None: no such
        if "timm.data" in ours:
            vars(sys.modules["timm.data"]).update(vars(importlib.import_module("timm.data.constants")))
        if "timm" in ours:
            vars(sys.modules["timm"])["__version__"] = importlib.import_module("timm.version").__version__
        yield
    finally:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("timm", "torchvision") or name in ours:
                del sys.modules[name]


def _empty(name: str) -> Any:
    """A package in which nothing has run, but whose files can be imported."""
    found = importlib.util.find_spec(name)
    if found is None or found.submodule_search_locations is None:
        raise ImportError(f"there is no package {name}")
    module = ModuleType(name)
    module.__path__ = list(found.submodule_search_locations)
    return module
