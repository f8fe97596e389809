"""The autoencoder: its loss against closed forms, it resumes with the same bits, it stops with a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.distributions import Normal, kl_divergence

from echosynth.common.errors import EchosynthError, OptionError
from echosynth.config.parameters import load_params
from echosynth.diffusion import autoencoder
from echosynth.diffusion.autoencoder import (
    Autoencoder,
    Losses,
    TrainedAutoencoder,
    autoencoder_state,
    learning_rate,
    losses,
    similarity,
    train_autoencoder,
)
from echosynth.diffusion.options import AutoencoderParams, DiffusionParams

ROOT = Path(__file__).parents[2]


def section(**changes: Any) -> AutoencoderParams:
    small: dict[str, Any] = {"channels": [8, 16], "latent_channels": 3, "blocks": 1, "steps": 6, "batch_size": 4}
    return AutoencoderParams(**{"learning_rate": 2e-3, "kl_weight": 1e-6, "augment": 0.3} | small | changes)


def settings(**changes: Any) -> DiffusionParams:
    fixed = {"autoencoder": section(**changes), "precision": "fp32", "log_every": 2, "checkpoint_every": 3}
    return load_params(ROOT / "params.yaml").diffusion.model_copy(update=fixed)


def images(count: int = 6, side: int = 16) -> np.ndarray:
    """Bright discs of several sizes and places on black."""
    y, x = np.mgrid[:side, :side] / side
    draws = np.random.default_rng(0).random((count, 3))
    far = [np.hypot(x - 0.3 - 0.4 * a, y - 0.3 - 0.4 * b) / (0.2 + 0.2 * c) for a, b, c in draws]
    return (255 * np.exp(-(np.stack(far) ** 2))).astype(np.uint8)


def run(params: DiffusionParams, on_point=lambda point: None) -> TrainedAutoencoder:  # type: ignore[no-untyped-def]
    return train_autoencoder(params, images(), autoencoder_state(params, 16, "hash"), on_point)


@pytest.mark.parametrize("channels", [[8, 16], [8, 8, 16], [4, 12, 8, 8]])
def test_each_further_level_halves_the_side(channels: list[int]) -> None:
    network, x = Autoencoder(section(channels=channels), 32), torch.zeros(2, 1, 32, 32)
    mean, log_variance = network.posterior(x)
    side = 32 // 2 ** (len(channels) - 1)
    assert network.latent_side == side
    assert mean.shape == log_variance.shape == (2, 3, side, side)
    assert network.decode(mean).shape == x.shape


def test_one_image_a_step_trains_at_the_deepest_level_that_is_allowed() -> None:
    trained = run(settings(batch_size=1, channels=[4, 4, 4, 4]))
    assert all(np.isfinite(point["loss"]) for point in trained.curve)
    with pytest.raises(EchosynthError, match=r"last of 5 diffusion\.autoencoder\.channels .* a side of 1 pixel"):
        Autoencoder(section(channels=[4, 4, 4, 4, 4]), 16)


def test_a_size_that_the_levels_do_not_divide_is_refused() -> None:
    with pytest.raises(
        EchosynthError, match=r"ingest\.size = 36 .* 4 diffusion\.autoencoder\.channels.* multiple of 8"
    ):
        Autoencoder(section(channels=[8, 8, 8, 8]), 36)


def test_kl_divergence_is_that_of_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 3, 4, 4, generator=generator, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(autoencoder.kl_divergence(mean, log_variance), expected)


def test_loss_is_absolute_error_plus_weighted_divergence_a_pixel() -> None:
    torch.manual_seed(0)
    network, x = Autoencoder(section(), 16), torch.rand(4, 1, 16, 16) * 2 - 1
    parts = losses(network, x, section(kl_weight=0.01), torch.Generator().manual_seed(3))
    with torch.no_grad():
        mean, log_variance = network.posterior(x)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
        decoded = network.decode(Normal(mean, (log_variance / 2).exp()).mean + (log_variance / 2).exp() * noise)
    error = np.abs(decoded.numpy() - x.numpy()).sum((1, 2, 3))
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum((1, 2, 3)).numpy()
    assert parts.error.item() == pytest.approx(error.mean() / 256, rel=1e-5)
    assert parts.divergence.item() == pytest.approx(divergence.mean(), rel=1e-5)
    assert parts.total.item() == pytest.approx((error + 0.01 * divergence).mean() / 256, rel=1e-5)


def reference_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. 2004 on pictures in [0, 1], Gaussian windows of 11 pixels, those that lie inside."""

    def local(picture: np.ndarray) -> np.ndarray:
        return gaussian_filter(picture, 1.5, radius=5)[5:-5, 5:-5]

    a, b = local(first), local(second)
    spread = local(first**2) - a**2, local(second**2) - b**2, local(first * second) - a * b
    top = (2 * a * b + 0.01**2) * (2 * spread[2] + 0.03**2)
    return float((top / ((a**2 + b**2 + 0.01**2) * (spread[0] + spread[1] + 0.03**2))).mean())


def test_similarity_is_that_of_its_paper_and_replaces_the_absolute_error() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 1, 24, 24, dtype=torch.float64) * 2 - 1
    y = (x + 0.3 * torch.randn_like(x)).clamp(-1, 1)
    pairs = [((one[0].numpy() + 1) / 2, (two[0].numpy() + 1) / 2) for one, two in zip(x, y, strict=True)]
    assert similarity(y, x).item() == pytest.approx(np.mean([reference_ssim(*pair) for pair in pairs]), rel=1e-3)
    network, images = Autoencoder(section(), 24).eval(), x.float()
    params = section(kl_weight=0.0, loss="squared-ssim")
    parts = losses(network, images, params, torch.Generator().manual_seed(3))
    mean, log_variance = network.posterior(images)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
    decoded = network.decode(mean + (log_variance / 2).exp() * noise)
    expected = (decoded - images).square().mean() + 1 - similarity(decoded, images)
    assert parts.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert parts.error.item() == pytest.approx((decoded - images).abs().mean().item(), rel=1e-5)


def test_similarity_needs_a_window() -> None:
    with pytest.raises(OptionError, match=r"squared-ssim compares windows of 11 pixels: with ingest\.size = 8 take"):
        Autoencoder(section(loss="squared-ssim"), 8)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    params = section(steps=200, learning_rate=1.0)
    assert [learning_rate(params, step) for step in (0, 9, 10)] == pytest.approx([0.1, 1.0, 1.0])
    assert learning_rate(params, 105) == pytest.approx(0.5)
    assert learning_rate(params, 199) < 0.001


def test_interrupted_training_ends_with_the_same_bits() -> None:
    params = settings()
    whole = run(params)
    autoencoder_state(params, 16, "hash").clear()

    def stop(point: dict[str, float]) -> None:
        if point["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(params, stop)
    seen: list[float] = []
    resumed = run(params, lambda point: seen.append(point["step"]))
    assert seen == [4, 6]  # it went on after step 3, not from the start
    assert resumed.curve == whole.curve
    weights = resumed.network.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in whole.network.state_dict().items())


def test_every_step_draws_its_own_images_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(network: Autoencoder, x: torch.Tensor, params: AutoencoderParams, generator: torch.Generator) -> Losses:
        seen.append((x.clone(), generator.get_state()))
        return losses(network, x, params, generator)

    monkeypatch.setattr(autoencoder, "losses", spy)
    run(settings())
    pairs = [(a, b) for i, a in enumerate(seen) for b in seen[:i]]
    assert len(seen) == 6
    assert not any(torch.equal(a[0], b[0]) or torch.equal(a[1], b[1]) for a, b in pairs)


def test_only_what_matters_to_the_autoencoder_makes_another_state() -> None:
    params, folder = settings(), autoencoder_state(settings(), 16, "a").folder
    assert autoencoder_state(params.model_copy(update={"schedule": "linear", "steps": 7}), 16, "a").folder == folder
    assert autoencoder_state(params.model_copy(update={"seed": 99}), 16, "a").folder != folder
    assert autoencoder_state(settings(kl_weight=0.5), 16, "a").folder != folder
    assert autoencoder_state(params, 16, "b").folder != folder


def test_a_loss_that_is_not_finite_stops_with_the_parameter_named() -> None:
    params = settings(learning_rate=1.0)
    broken = params.autoencoder.model_copy(update={"learning_rate": float("inf")})
    with pytest.raises(EchosynthError, match=r"step 1: lower diffusion\.autoencoder\.learning_rate \(inf\)"):
        run(params.model_copy(update={"autoencoder": broken}))


def test_out_of_memory_says_which_batch_size_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> list[float]:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(autoencoder, "_train_step", full)
    with pytest.raises(EchosynthError, match=r"diffusion\.autoencoder\.batch_size = 4: try .* = 2"):
        run(settings())


def test_fp16_trains_in_fp32() -> None:
    """Half precision would need loss scaling, and autoencoders of this kind leave its range."""
    half = settings().model_copy(update={"precision": "fp16"})
    assert autoencoder.training_precision(half) == "fp32"
    assert run(half).curve == run(settings()).curve
