"""Networks as PyTorch's own, against torchvision."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from echosynth.classifier.as_in_pytorch import InceptionV3, cross_entropy
from echosynth.classifier.timm_networks import create
from echosynth.compute.torchvision_schemas import make_importable


@pytest.fixture(scope="module")
def models() -> Any:
    make_importable()
    import torchvision.models

    return torchvision.models


def test_vgg16_is_regularised_and_begins_as_in_torchvision(models: Any) -> None:
    torch.manual_seed(0)
    ours = create("vgg16", 1, 4, 32)
    theirs = models.vgg16(weights=None).classifier
    dropouts = [layer.p for layer in theirs.modules() if isinstance(layer, nn.Dropout)]
    assert [layer.p for layer in ours.modules() if isinstance(layer, nn.Dropout)] == dropouts == [0.5, 0.5]
    for mine, other in ((ours.pre_logits.fc1, theirs[0]), (ours.pre_logits.fc2, theirs[3])):
        assert mine.weight.numel() == other.weight.numel()
        assert mine.weight.std().item() == pytest.approx(other.weight.std().item(), rel=0.01)
        assert mine.weight.mean().item() == pytest.approx(0, abs=1e-4)
        assert not mine.bias.any()


@pytest.mark.slow
def test_inception_has_the_auxiliary_classifier_of_torchvision(models: Any) -> None:
    """The same weights give the same logits, both pairs of them, of pictures of any size."""
    torch.manual_seed(0)
    ours = create("inception_v3", 3, 4, 64)
    assert isinstance(ours, InceptionV3) and ours.network.head_drop.p == 0.5
    theirs = models.inception_v3(weights=None, num_classes=4, init_weights=False, dropout=0.0)
    theirs.load_state_dict(ours.network.state_dict())
    ours.network.head_drop.p = 0.0
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    large = F.interpolate(pictures, (299, 299), mode="bilinear")
    found, expected = ours.train()(pictures), theirs.train()(large)
    torch.testing.assert_close(found[0], expected.logits, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[1], expected.aux_logits, rtol=1e-3, atol=1e-3)
    labels = torch.tensor([1, 3])
    both = F.cross_entropy(expected.logits, labels) + 0.4 * F.cross_entropy(expected.aux_logits, labels)
    torch.testing.assert_close(cross_entropy(found, labels), both, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours.eval()(pictures), theirs.eval()(large), rtol=1e-3, atol=1e-3)
