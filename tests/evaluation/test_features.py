"""Features: shapes, ranges, and weights from a local file."""

import hashlib
import io
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


def as_bytes(state: dict[str, torch.Tensor]) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def named(folder: Path, content: bytes) -> Path:
    """A file whose name ends as PyTorch's hub names files: with the beginning of its SHA-256."""
    path = folder / f"weights-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    return path


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
    network = load_inception(str(named(tmp_path, as_bytes(random.state_dict()))))
    stored = random.state_dict()["Conv2d_1a_3x3.conv.weight"]
    assert any(torch.equal(tensor, stored) for tensor in network.state_dict().values())
    features = inception_features(network, pictures(3), batch_size=2)
    assert features.shape == (3, 2048)
    assert np.isfinite(features).all()


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    path = named(tmp_path, b"not weights")
    with pytest.raises(EchosynthError, match=rf"fidelity\.inception_weights: .*{path.name} holds no Inception weights"):
        load_inception(str(path))


def test_a_file_whose_name_does_not_tell_its_content_is_refused(tmp_path: Path) -> None:
    """A stage depends on the name."""
    path = named(tmp_path, b"one")
    path.write_bytes(b"another")
    for name in (path, path.rename(tmp_path / "weights.pth")):
        name.write_bytes(b"another")
        with pytest.raises(EchosynthError, match=rf"the SHA-256 of .*{name.name} does not begin as its name ends"):
            load_inception(str(name))


def test_weights_lie_in_the_workspace_of_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git ignores them, so that the copy of the tree in which the experiment runs lacks them."""
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    path = named(tmp_path, b"not weights")
    with pytest.raises(EchosynthError, match="holds no Inception weights"):
        load_inception(path.name)
    with pytest.raises(EchosynthError, match=r'there\.pth is missing; put the file there, or set it to ""'):
        load_inception("there.pth")
