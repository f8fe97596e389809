"""Bits per dimension: closed forms of Gaussian data, whose best denoiser is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.diffusion import reference
from tests.diffusion.processes import make_process

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.likelihood import BitsPerDimension, bits_per_dimension, strata
from echosynth.diffusion.options import Schedule
from echosynth.diffusion.process import Process

SPREAD = 0.2


def grey(count: int, seed: int = 0) -> torch.Tensor:
    """8-bit pixels (count, 1, 8, 8) of N(0, SPREAD^2)."""
    noise = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * SPREAD
    return ((noise + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def unknown(process: Process, spread: float) -> np.ndarray:
    """Variance of x_0 given x_t, (T,), for independent N(0, spread^2) pixels."""
    return spread**2 * process.sigma**2 / (process.alpha**2 * spread**2 + process.sigma**2)


def exact(process: Process, spread: float = SPREAD) -> Callable[..., torch.Tensor]:
    """The posterior mean of x_0 for independent N(0, spread^2) pixels, for a process that predicts x0; with a learned
    variance also that of q(x_t-1 | x_t), which is Gaussian and lies in the learned range."""
    gain = torch.from_numpy(process.alpha * spread**2 / (process.alpha**2 * spread**2 + process.sigma**2)).float()
    true = np.log(process.posterior_variance + process.posterior_mean_coef1**2 * unknown(process, spread))
    small, large = process.posterior_log_variance_clipped, process.log_betas
    raw = torch.from_numpy(2 * (true - small) / (large - small) - 1).float()

    def network(xt: torch.Tensor, t: torch.Tensor, *condition: torch.Tensor) -> torch.Tensor:
        estimate = gain[t].view(-1, 1, 1, 1) * xt
        return torch.cat([estimate, raw[t].view(-1, 1, 1, 1).expand_as(xt)], dim=1) if process.learned else estimate

    return network


def expected_terms(process: Process, spread: float) -> np.ndarray:
    """Expected term at each t with the exact denoiser and the small variance, bits per dimension: for t > 0 both
    Gaussians have the same variance, and the means differ by what is unknown of x_0."""
    left = unknown(process, spread)
    first = reference.log_variance(process.betas, 0, "fixed-small")
    terms = [0.5 * (np.log(2 * np.pi) + first + left[0] / np.exp(first))]
    for t in range(1, process.timesteps):
        share, small = reference.posterior(process.betas, t, np.ones(()), np.zeros(()))
        terms.append(0.5 * share**2 * left[t] / small)
    return np.array(terms) / np.log(2)


def cost(x0: torch.Tensor, spread: float) -> float:
    """Mean -log2 of the density of N(0, spread^2)."""
    return float(-reference.norm.logpdf(x0.double().numpy(), 0, spread).mean() / np.log(2))


def test_gaussian_pixels_cost_their_log_likelihood() -> None:
    """With the exact denoiser and the exact variances the bound is tight: the density, times the width of a grey
    value."""
    process = make_process("cosine", 1000, "x0", "learned")
    bits = bits_per_dimension(process, exact(process), grey(64), (), seed=1)
    assert bits.total.mean().item() == pytest.approx(cost(grey(64), SPREAD) - np.log2(2 / 255), abs=0.02)
    entropy = 0.5 * np.log2(2 * np.pi * np.e * SPREAD**2) - np.log2(2 / 255)
    assert bits.total.mean().item() == pytest.approx(entropy, abs=0.05)  # 4,096 pixels are a sample


@pytest.mark.parametrize(("schedule", "timesteps"), [("linear", 1000), ("cosine", 60), ("sigmoid", 10)])
def test_unit_gaussian_latents_cost_their_log_likelihood_with_any_number_of_steps(
    schedule: Schedule, timesteps: int
) -> None:
    """Every x_t is then standard normal, and beta the exact variance of every step back: nothing is lost."""
    process = make_process(schedule, timesteps, "x0", "learned", space="latent")
    assert np.allclose(
        process.posterior_variance + process.posterior_mean_coef1**2 * unknown(process, 1.0), process.betas
    )
    x0 = torch.randn(256, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    bits = bits_per_dimension(process, exact(process, 1.0), x0, (), seed=1, batch_size=256)
    assert bits.total.mean().item() == pytest.approx(cost(x0, 1.0), abs=0.02)


def test_each_term_is_its_expectation() -> None:
    process = make_process("linear", 100, "x0", space="latent")
    x0 = 1.5 * torch.randn(512, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    bits = bits_per_dimension(process, exact(process, 1.5), x0, (), seed=2, batch_size=256)
    assert np.allclose(bits.variational.mean(0), expected_terms(process, 1.5), rtol=0.06)
    factor, variance = reference.marginal(process.betas, 99)
    zero = np.zeros(())
    prior = (reference.kl(zero, variance, zero, 1.0) + factor**2 * 1.5**2 / 2) / np.log(2)
    assert bits.prior.mean().item() == pytest.approx(prior, rel=0.05)
    assert np.allclose(bits.image_mse.mean(0), unknown(process, 1.5), rtol=0.06)


def test_parts_add_up_and_every_step_is_there_once() -> None:
    process = make_process("cosine", 20, "x0")
    bits = bits_per_dimension(process, exact(process), grey(5), (), seed=0)
    assert torch.equal(bits.steps, torch.arange(20).expand(5, 20))
    assert torch.equal(bits.weights, torch.ones(20, dtype=torch.float64))
    assert bits.prior.min() > 1e-8
    assert torch.allclose(bits.total, bits.prior + bits.variational.sum(1), rtol=0, atol=1e-12)


def draw(**settings: Any) -> BitsPerDimension:
    process = make_process("cosine", 20, "x0")
    arguments: dict[str, Any] = {"x0": grey(7), "condition": (), "seed": 3, "batch_size": 7} | settings
    return bits_per_dimension(process, exact(process), **arguments)


@pytest.mark.parametrize("terms", [None, 6])
def test_the_batch_size_does_not_matter_but_the_seed_does(terms: int | None) -> None:
    one, other, reseeded = draw(terms=terms), draw(terms=terms, batch_size=3), draw(terms=terms, seed=4)
    assert torch.equal(one.steps, other.steps)
    assert torch.allclose(one.total, other.total, rtol=1e-6)
    assert not torch.allclose(one.total, reseeded.total, rtol=1e-6)


@pytest.mark.parametrize("terms", [2, 6, 13, 20])
def test_strata_cut_the_steps_evenly_with_the_first_one_alone(terms: int) -> None:
    lengths = strata(20, terms).diff()
    assert len(lengths) == terms
    assert lengths.sum() == 20
    assert lengths[0] == 1
    assert lengths[1:].max() - lengths[1:].min() <= 1


@pytest.mark.parametrize("terms", [3, 6])
def test_a_few_terms_estimate_the_bound_without_bias(terms: int) -> None:
    """Many copies of one image, each with its own steps and noise: their mean is the full bound."""
    process = make_process("cosine", 20, "x0")
    x0 = grey(1).expand(10_000, 1, 8, 8)
    full = bits_per_dimension(process, exact(process), x0[:500], (), seed=0, batch_size=2500)
    few = bits_per_dimension(process, exact(process), x0, (), seed=1, batch_size=2500, terms=terms)
    error = 4 * (few.total.std() / 100 + full.total.std() / 500**0.5).item()
    assert error < 0.2
    assert few.total.mean().item() == pytest.approx(full.total.mean().item(), abs=error)
    for column, (first, last) in enumerate(strata(20, terms).unfold(0, 2, 1).tolist()):
        assert set(few.steps[:, column].tolist()) == set(range(first, last))


@pytest.mark.parametrize("terms", [0, 1, 21])
def test_a_number_of_terms_out_of_range_is_refused(terms: int) -> None:
    with pytest.raises(EchosynthError, match=r"2 to 20 .*not"):
        draw(terms=terms)


def test_estimates_of_pixels_are_clamped() -> None:
    process = make_process("cosine", 20, "x0")
    wild = bits_per_dimension(process, lambda xt, t: torch.full_like(xt, 9.0), grey(3), (), seed=0)
    edge = bits_per_dimension(process, lambda xt, t: torch.full_like(xt, 1.0), grey(3), (), seed=0)
    assert torch.equal(wild.total, edge.total)


def test_a_learned_variance_costs_fewer_bits_than_a_fixed_one() -> None:
    x0 = torch.randn(128, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    totals = []
    for variance in ("learned", "fixed-small", "fixed-large"):
        process = make_process("cosine", 10, "x0", variance, space="latent")  # type: ignore[arg-type]
        totals.append(bits_per_dimension(process, exact(process, 1.0), x0, (), seed=0).total.mean().item())
    assert totals[0] < min(totals[1:]) - 0.01


def test_the_condition_is_cut_like_the_images() -> None:
    process, seen = make_process("cosine", 10, "x0"), []

    def network(xt: torch.Tensor, t: torch.Tensor, views: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        seen.append((views.tolist(), sources.tolist()))
        return torch.zeros_like(xt)

    bits_per_dimension(process, network, grey(3), (torch.arange(3), torch.arange(3) + 5), seed=0, batch_size=2)
    assert seen[:2] == [([0, 1], [5, 6]), ([2], [7])]
