"""Storing and reading a trained model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json, write_json
from echosynth.compute.device import to_tensor
from echosynth.diffusion.autoencoder import Autoencoder
from echosynth.diffusion.batches import Examples
from echosynth.diffusion.latents import LatentSpace
from echosynth.diffusion.model import DiffusionCard, PixelSpace, load, read_card, save
from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.diffusion.process import Process

Settings = Callable[..., DiffusionParams]
CPU = torch.device("cpu")


def stored(folder: Path, params: DiffusionParams, **changes: object) -> ViewDenoiser:
    torch.manual_seed(0)
    network = ViewDenoiser(params, 16, 2).eval()
    card = DiffusionCard(
        sources=("camus", "tmed2"), size=16, diffusion=params, training_images={"A2C": {"tmed2": 3}},
        training_hash="00", step=8, ema_decay=0.9, kernel=None,
    )  # fmt: skip
    save(folder, network.state_dict(), card.model_copy(update=changes))
    return network


def test_stored_model_predicts_the_same(tmp_path: Path, settings: Settings) -> None:
    network = stored(tmp_path, settings())
    model = load(tmp_path, CPU)
    x, t, tokens = torch.randn(2, 1, 16, 16), torch.tensor([1, 2]), (torch.tensor([0, 3]), torch.tensor([1, 2]))
    assert torch.equal(network(x, t, *tokens), model.network(x, t, *tokens))
    assert model.shape == (1, 16, 16)
    assert model.process.prediction == "v"
    assert read_card(tmp_path).training_images == {"A2C": {"tmed2": 3}}


def test_a_card_from_before_an_option_says_what_was_done_then(tmp_path: Path, settings: Settings) -> None:
    network = stored(tmp_path, settings(patching="unshuffle"))
    card = read_json(tmp_path / "card.json")
    for option in ("preconditioning", "gaussian_directions", "patching", "augment_share", "augment_told"):
        del card["diffusion"][option]
    card["frechet"] = card.pop("kernel")  # by which snapshots were compared then
    write_json(tmp_path / "card.json", card)
    model = load(tmp_path, CPU)
    assert read_card(tmp_path).kernel is None
    assert read_card(tmp_path).diffusion.preconditioning == "none" and model.process.gaussian is None
    x, t, tokens = torch.randn(2, 1, 16, 16), torch.tensor([1, 2]), (torch.tensor([0, 3]), torch.tensor([1, 2]))
    assert torch.equal(network(x, t, *tokens), model.network(x, t, *tokens))


def test_latent_model_comes_with_its_autoencoder(tmp_path: Path, settings: Settings, data: Examples) -> None:
    params = settings(space="latent", unshuffle=1)
    stored(tmp_path, params)
    with pytest.raises(EchosynthError, match=r"autoencoder\.json"):
        load(tmp_path, CPU)
    LatentSpace.fit(Autoencoder(params.autoencoder, 16), params, data.images, "00").save(tmp_path)
    model = load(tmp_path, CPU)
    assert model.shape == (4, 8, 8)
    assert model.space.decode(torch.zeros(2, *model.shape)).shape == (2, 1, 16, 16)


def test_a_preconditioned_model_comes_with_its_statistics(tmp_path: Path, settings: Settings, data: Examples) -> None:
    params = settings(preconditioning="gaussian", loss="edm")
    network = stored(tmp_path, params)
    with pytest.raises(EchosynthError, match=r"gaussian\.safetensors is missing; run"):
        load(tmp_path, CPU)
    gaussian = PixelGaussian.fit(to_tensor(data.images), data.views, data.sources, 2, 5)
    PixelSpace(gaussian).save(tmp_path)
    model, own = load(tmp_path, CPU), Process(params, gaussian)
    x, t, tokens = torch.randn(2, 1, 16, 16), torch.tensor([1, 2]), (torch.tensor([0, 3]), torch.tensor([1, 2]))
    said, expected = model.process.model_output(model.network, x, t, tokens), own.model_output(network, x, t, tokens)
    assert torch.equal(said[0], expected[0])


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("torn", "model.safetensors"),
        ("missing", "model.safetensors"),
        ("other configuration", "model.safetensors"),
        ("text card", "card.json"),
        ("foreign card", "card.json"),
        ("other views", "card.json"),
    ],
)
def test_damaged_models_are_named(tmp_path: Path, settings: Settings, damage: str, named: str) -> None:
    changes: dict[str, object] = {}
    if damage == "other configuration":
        changes["diffusion"] = settings(channels=[32, 32])
    elif damage == "other views":
        changes["views"] = ("A2C", "A4C")
    stored(tmp_path, settings(), **changes)
    weights, card = tmp_path / "model.safetensors", tmp_path / "card.json"
    if damage == "torn":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "missing":
        weights.unlink()
    elif damage == "text card":
        card.write_text("hello")
    elif damage == "foreign card":
        card.write_text('{"kind": "classifier"}')
    with pytest.raises(EchosynthError, match=named):
        load(tmp_path, CPU)
