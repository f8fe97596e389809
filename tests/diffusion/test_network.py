"""Building, storing and reading the denoiser."""

from pathlib import Path

import pytest
import torch

from echosynth.diffusion.network import DiffusionCard, ViewDenoiser, load, save
from echosynth.errors import EchosynthError


def tiny() -> tuple[ViewDenoiser, DiffusionCard]:
    torch.manual_seed(0)
    card = DiffusionCard(
        size=16, unshuffle=2, channels=(16, 32), blocks=1, attention_levels=(1,), dropout=0.0, timesteps=10,
        schedule="cosine", prediction="v", training_images=3, training_hash="00", steps=1,
    )  # fmt: skip
    return ViewDenoiser(16, 2, (16, 32), 1, (1,), 0.0).eval(), card


def test_output_has_the_shape_of_the_input_and_follows_the_label() -> None:
    network, _ = tiny()
    x, t = torch.randn(3, 1, 16, 16), torch.tensor([0, 5, 9])
    out = network(x, t, torch.tensor([0, 1, 4]))
    assert out.shape == x.shape
    assert not torch.allclose(out, network(x, t, torch.tensor([1, 2, 0])))


def test_sizes_that_the_levels_do_not_divide_are_refused() -> None:
    with pytest.raises(EchosynthError, match=r"ingest\.size = 20 .* multiple of 8"):
        ViewDenoiser(20, 2, (16, 32, 32), 1, (), 0.0)


def test_attention_at_a_missing_level_is_refused() -> None:
    with pytest.raises(EchosynthError, match=r"attention_levels names level 3"):
        ViewDenoiser(32, 2, (16, 32), 1, (3,), 0.0)


def test_stored_network_predicts_the_same(tmp_path: Path) -> None:
    network, card = tiny()
    save(tmp_path, network.state_dict(), card)
    again, read = load(tmp_path, torch.device("cpu"))
    x, t, y = torch.randn(2, 1, 16, 16), torch.tensor([1, 2]), torch.tensor([0, 3])
    assert read == card
    assert torch.equal(network(x, t, y), again(x, t, y))


@pytest.mark.parametrize("damage", ["torn", "missing", "other architecture", "text card"])
def test_damaged_models_are_named(tmp_path: Path, damage: str) -> None:
    network, card = tiny()
    if damage == "other architecture":
        card = card.model_copy(update={"channels": (32, 32)})
    save(tmp_path, network.state_dict(), card)
    weights = tmp_path / "model.safetensors"
    if damage == "torn":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "missing":
        weights.unlink()
    elif damage == "text card":
        (tmp_path / "card.json").write_text("hello")
    with pytest.raises(EchosynthError, match="card.json" if damage == "text card" else "model.safetensors"):
        load(tmp_path, torch.device("cpu"))
