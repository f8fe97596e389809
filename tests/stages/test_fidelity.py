"""Kinds of features that synthetic sets are measured on: those of photographs, and why there are none."""

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.stages.fidelity import Sets, on_imagenet


def images(seed: int, brightness: int) -> LabelledImages:
    """40 images of noise, up to this grey level."""
    pictures = np.random.default_rng(seed).integers(0, brightness, (40, 16, 16), dtype=np.uint8)
    names = np.array([f"tmed2-{seed}-{number}" for number in range(40)])
    return LabelledImages(pictures, np.arange(40) % 4, names, np.full(40, "tmed2"), names)


SETS = Sets(images(0, 200), images(1, 200), images(2, 200))


def test_features_of_photographs_tell_like_from_unlike(params: Params) -> None:
    settings = params.fidelity.model_copy(update={"imagenet_size": 32, "floor_repeats": 1})
    measure, missing = on_imagenet(SETS, settings)
    assert measure is not None and missing is None
    like, unlike = (
        measure.distances(measure.extract(made.images), made.labels) for made in (images(3, 200), images(4, 60))
    )
    assert measure.validation.shape == (40, 1280) and measure.validation.dtype == np.float64
    assert like["frechet"] < 3 * like["floor_frechet"] < unlike["frechet"]


def test_without_weights_there_is_the_reason(params: Params) -> None:
    for name, reason in (("", "fidelity.imagenet_weights names no file."), ("nowhere.pth", "nowhere.pth is missing.")):
        settings = params.fidelity.model_copy(update={"imagenet_weights": name})
        assert on_imagenet(SETS, settings) == (None, f"No distances on ImageNet features: {reason}")


def test_weights_of_another_network_stop(params: Params) -> None:
    settings = params.fidelity.model_copy(update={"imagenet_architecture": "resnet18"})
    with pytest.raises(EchosynthError, match="holds no weights of resnet18"):
        on_imagenet(SETS, settings)
