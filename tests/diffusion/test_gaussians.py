"""Divergence and likelihoods against closed forms in float64 and scipy's distribution function."""

import numpy as np
import pytest
import torch
from tests.diffusion import reference

from echosynth.diffusion.gaussians import discretized_gaussian_log_likelihood, gaussian_log_likelihood, normal_kl


def test_divergence_is_the_closed_form() -> None:
    random = np.random.default_rng(0)
    mean, other, log_v, log_w = random.normal(size=(4, 50))
    ours = normal_kl(*(torch.from_numpy(table) for table in (other - mean, log_v, log_w)))
    assert np.allclose(ours, reference.kl(mean, np.exp(log_v), other, np.exp(log_w)), rtol=1e-12, atol=1e-12)


def test_divergence_of_a_gaussian_from_itself_is_zero() -> None:
    log_variance = torch.linspace(-12, 1, 40)
    assert torch.equal(normal_kl(torch.zeros(40), log_variance, log_variance), torch.zeros(40))


def test_density_is_that_of_a_normal() -> None:
    x, mean, log_variance = np.random.default_rng(1).normal(size=(3, 50))
    ours = gaussian_log_likelihood(*(torch.from_numpy(table) for table in (x, mean, log_variance)))
    assert np.allclose(ours, reference.norm.logpdf(x, mean, np.exp(log_variance / 2)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.004, 0.05, 1.0])
def test_pixel_likelihood_is_the_mass_of_the_bin(scale: float, dtype: torch.dtype) -> None:
    x = np.arange(256) / 127.5 - 1
    mean = np.clip(x + scale * np.random.default_rng(2).uniform(-4, 4, 256), -1.2, 1.2)
    ours = discretized_gaussian_log_likelihood(
        torch.from_numpy(x).to(dtype), torch.from_numpy(mean).to(dtype), torch.tensor(2 * np.log(scale), dtype=dtype)
    )
    tolerance = 1e-9 if dtype == torch.float64 else 2e-4
    assert np.allclose(-ours, reference.pixel_nll(x, mean, scale**2), rtol=tolerance, atol=tolerance)


def test_probabilities_of_all_grey_values_add_up_to_one() -> None:
    x = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    for mean, scale in ((0.0, 0.3), (-0.99, 0.01), (0.5, 2.0), (1.5, 0.2)):
        log_p = discretized_gaussian_log_likelihood(x, torch.full_like(x, mean), torch.tensor(2 * np.log(scale)))
        assert torch.exp(log_p).sum().item() == pytest.approx(1, abs=1e-9)


def test_a_hopeless_estimate_still_has_a_finite_likelihood_and_a_gradient_towards_the_pixel() -> None:
    x = torch.tensor([-1.0, -0.5, 0.5019608, 1.0])
    mean = torch.tensor([3.0, 3.0, -3.0, -3.0], requires_grad=True)
    nll = -discretized_gaussian_log_likelihood(x, mean, torch.tensor(-11.0))
    nll.sum().backward()
    assert torch.isfinite(nll).all()
    assert mean.grad is not None
    assert torch.equal(mean.grad.sign(), torch.tensor([1.0, 1.0, -1.0, -1.0]))
    assert torch.isfinite(mean.grad).all()
