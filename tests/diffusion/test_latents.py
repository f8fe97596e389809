"""The latent space: scaled, padded, stored, and as good as its reconstruction says."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import load_params
from echosynth.diffusion.autoencoder import Autoencoder, autoencoder_state, train_autoencoder
from echosynth.diffusion.latents import LatentSpace, crop, pad, reconstruction
from echosynth.diffusion.options import AutoencoderParams, DiffusionParams, network_side

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def settings(channels: list[int], levels: int = 2, **changes: Any) -> DiffusionParams:
    """A small autoencoder, for a U-Net of so many levels."""
    small: dict[str, Any] = {"latent_channels": 3, "blocks": 1, "steps": 60, "batch_size": 8}
    values: dict[str, Any] = {"learning_rate": 2e-3, "kl_weight": 1e-6, "augment": 0.0} | small | changes
    fixed = {"autoencoder": AutoencoderParams(channels=channels, **values), "channels": [8] * levels}
    params = load_params(ROOT / "params.yaml").diffusion
    return params.model_copy(update=fixed | {"precision": "fp32", "space": "latent", "unshuffle": 1, "log_every": 20})


def discs(count: int, side: int, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    draws = np.random.default_rng(seed).random((count, 3))
    far = [np.hypot(x - 0.3 - 0.4 * a, y - 0.3 - 0.4 * b) / (0.2 + 0.2 * c) for a, b, c in draws]
    return (255 * np.exp(-(np.stack(far) ** 2))).astype(np.uint8)


def untrained(params: DiffusionParams, images: np.ndarray) -> LatentSpace:
    torch.manual_seed(0)
    return LatentSpace.fit(Autoencoder(params.autoencoder, images.shape[-1]), params, images, "hash")


@pytest.mark.parametrize(("side", "wide"), [(14, 16), (7, 8), (5, 8), (8, 8)])
def test_padding_is_taken_off_exactly(side: int, wide: int) -> None:
    codes = torch.randn(2, 3, side, side)
    padded = pad(codes, wide)
    assert padded.shape == (2, 3, wide, wide)
    assert torch.equal(crop(padded, side), codes)
    assert padded.abs().double().sum().item() == pytest.approx(codes.abs().double().sum().item())  # zeros around
    if side == 14:
        assert torch.equal(padded[..., 1:15, 1:15], codes)


def test_codes_of_112_pixels_fit_four_levels() -> None:
    """Medfusion's sizes: 112 / 8 = 14, padded to 16, as echosynth.sections tells the U-Net."""
    params, images = settings([4, 4, 4, 4], levels=4), discs(2, 112)
    space = untrained(params, images)
    assert space.shape == (3, 16, 16)
    assert network_side(params, 112) == 16
    codes = space.encode_images(images)
    assert codes.shape == (2, 3, 16, 16) and codes.dtype == torch.float32
    assert codes[..., 0].abs().max() == 0 == codes[:, :, -1].abs().max()
    pictures = space.decode(codes)
    assert pictures.shape == (2, 1, 112, 112)
    assert pictures.abs().max() <= 1


def test_training_codes_have_mean_0_and_variance_1_in_each_channel() -> None:
    params, images = settings([8, 16], levels=4), discs(70, 24)  # more than one batch; codes of 12 padded to 16
    space = untrained(params, images)
    codes = crop(space.encode_images(images), 12).double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(codes.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(codes.var(1, correction=0), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)


def test_decoding_undoes_scaling_and_padding() -> None:
    images = discs(3, 24)
    space = untrained(settings([8, 16], levels=4), images)
    x = torch.from_numpy(images)[:, None].float() / 127.5 - 1
    with torch.no_grad():
        expected = space.network.decode(space.network.posterior(x)[0]).clamp(-1, 1)
    torch.testing.assert_close(space.decode(space.encode(x)), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(space.encode(x), space.encode_images(images))


def test_codes_stay_fp32_inside_autocast() -> None:
    images = discs(2, 16)
    space = untrained(settings([8, 16]), images)
    x = torch.from_numpy(images)[:, None].float() / 127.5 - 1
    codes = space.encode(x)
    pictures = space.decode(codes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(space.encode(x), codes)
        assert torch.equal(space.decode(codes), pictures)


def test_a_stored_space_predicts_the_same_bits(tmp_path: Path) -> None:
    images = discs(4, 16)
    space = untrained(settings([8, 16]), images)
    space.save(tmp_path)
    again = LatentSpace.load(tmp_path, CPU)
    assert again.card == space.card
    codes = space.encode_images(images)
    assert torch.equal(again.encode_images(images), codes)
    assert torch.equal(again.decode(codes), space.decode(codes))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["autoencoder.json", "autoencoder.safetensors"]


def test_missing_torn_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(EchosynthError, match=r"autoencoder\.json is missing"):
        LatentSpace.load(tmp_path, CPU)
    untrained(settings([8, 16]), discs(4, 16)).save(tmp_path)
    weights, card = tmp_path / "autoencoder.safetensors", tmp_path / "autoencoder.json"
    whole, content = weights.read_bytes(), json.loads(card.read_text())

    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EchosynthError, match=r"autoencoder\.safetensors .* damaged"):
        LatentSpace.load(tmp_path, CPU)
    weights.unlink()
    with pytest.raises(EchosynthError, match=r"autoencoder\.safetensors is missing"):
        LatentSpace.load(tmp_path, CPU)
    weights.write_bytes(whole)

    card.write_text(card.read_text()[:50])
    with pytest.raises(EchosynthError, match=r"autoencoder\.json is no valid JSON"):
        LatentSpace.load(tmp_path, CPU)
    for change in ({"colour": 1}, {"mean": [0.0]}, {"deviation": [1.0, 0.0, 1.0]}, {"side": 2}, {"kind": "diffusion"}):
        card.write_text(json.dumps(content | change))
        with pytest.raises(EchosynthError, match=r"autoencoder\.json is no card of an autoencoder"):
            LatentSpace.load(tmp_path, CPU)


def test_a_channel_that_says_nothing_is_refused() -> None:
    params, images = settings([8, 16]), discs(2, 16)
    network = Autoencoder(params.autoencoder, 16)
    with torch.no_grad():
        network.layers.quant_conv.weight[1] = 0  # the mean of channel 1
    with pytest.raises(EchosynthError, match=r"channel 1 .* lower diffusion\.autoencoder\.kl_weight"):
        LatentSpace.fit(network, params, images, "hash")


def test_reconstruction_is_what_opencv_measures_on_the_stored_pictures() -> None:
    images = np.concatenate([discs(65, 16), np.zeros((1, 16, 16), np.uint8)])
    space = untrained(settings([8, 16]), images)
    decoded = ((space.decode(space.encode_images(images))[:, 0] + 1) * 127.5).round().to(torch.uint8).numpy()
    measured = reconstruction(space, images)
    assert measured["psnr"] == pytest.approx(np.mean([cv2.PSNR(a, b) for a, b in zip(images, decoded, strict=True)]))
    assert measured["mae"] == pytest.approx(np.mean([cv2.absdiff(a, b) for a, b in zip(images, decoded, strict=True)]))


def test_a_picture_without_error_keeps_the_mean_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    images = discs(3, 16)
    space = untrained(settings([8, 16]), images)
    monkeypatch.setattr(space, "decode", lambda codes: torch.from_numpy(images)[:, None].float() / 127.5 - 1)
    one_off = images[0].copy()
    one_off[0, 0] += 1
    assert reconstruction(space, images) == {"psnr": pytest.approx(cv2.PSNR(images[0], one_off)), "mae": 0.0}


@pytest.mark.slow
def test_training_makes_the_reconstruction_of_held_out_images_better() -> None:
    params, images, held_out = settings([16, 32], steps=120), discs(32, 16), discs(8, 16, seed=1)
    before = reconstruction(untrained(params, images), held_out)
    trained = train_autoencoder(params, images, autoencoder_state(params, 16, "discs"))
    after = reconstruction(LatentSpace.fit(trained.network, params, images, "hash"), held_out)
    assert after["psnr"] > before["psnr"] + 10
    assert after["mae"] < before["mae"] / 3
