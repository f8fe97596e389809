"""Features: shapes, ranges, and weights from a local file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from echosynth.classifier.network import build
from echosynth.common.errors import EchosynthError
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.evaluation.features import echo_features, inception_features, load_inception


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32), dtype=np.uint8)


def test_echo_features_are_what_the_last_layer_sees() -> None:
    torch.manual_seed(0)
    network = build("resnet18", 32).eval()
    features = echo_features(network, pictures(5), batch_size=2)
    assert features.shape == (5, 512)
    assert features.dtype == np.float64
    x = torch.from_numpy(pictures(5))[:, None].float() / 127.5 - 1
    with torch.no_grad():
        logits = network.get_classifier()(torch.from_numpy(features).float())  # type: ignore[operator]
        assert torch.allclose(logits, network(x), atol=1e-5)


@pytest.mark.slow
def test_inception_reads_its_weights_from_a_file_and_nothing_else(tmp_path: Path) -> None:
    _torchvision.make_importable()
    from pytorch_fid import inception

    torch.manual_seed(0)
    random = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    random.Mixed_5b = inception.FIDInceptionA(192, pool_features=32)
    random.Mixed_5c = inception.FIDInceptionA(256, pool_features=64)
    random.Mixed_5d = inception.FIDInceptionA(288, pool_features=64)
    random.Mixed_6b = inception.FIDInceptionC(768, channels_7x7=128)
    random.Mixed_6c = inception.FIDInceptionC(768, channels_7x7=160)
    random.Mixed_6d = inception.FIDInceptionC(768, channels_7x7=160)
    random.Mixed_6e = inception.FIDInceptionC(768, channels_7x7=192)
    random.Mixed_7b = inception.FIDInceptionE_1(1280)
    random.Mixed_7c = inception.FIDInceptionE_2(2048)
    torch.save(random.state_dict(), tmp_path / "weights.pth")
    network = load_inception(tmp_path / "weights.pth")
    stored = random.state_dict()["Conv2d_1a_3x3.conv.weight"]
    assert any(torch.equal(tensor, stored) for tensor in network.state_dict().values())
    features = inception_features(network, pictures(3), batch_size=2)
    assert features.shape == (3, 2048)
    assert np.isfinite(features).all()


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_text("not weights")
    with pytest.raises(EchosynthError, match=r"fidelity\.inception_weights: .*weights\.pth"):
        load_inception(tmp_path / "weights.pth")
