"""The kept steps, and the betas and posterior over them against conditioning of Gaussians."""

import numpy as np
import pytest
from tests.diffusion.processes import make_process

from echosynth.diffusion.process import Process
from echosynth.diffusion.respace import SpacedProcess, Spacing, space_timesteps


def process(timesteps: int = 1000, zero_terminal_snr: bool = False) -> Process:
    return make_process("cosine", timesteps, "v", zero_terminal_snr=zero_terminal_snr)


def spaced(whole: Process, evaluations: int, spacing: Spacing = "quadratic") -> SpacedProcess:
    return SpacedProcess(whole, space_timesteps(whole.timesteps, evaluations, spacing))


def test_quadratic_steps_are_those_of_the_first_release() -> None:
    assert space_timesteps(1000, 8, "quadratic").tolist() == [0, 20, 82, 183, 326, 510, 734, 999]
    assert space_timesteps(32, 16, "quadratic").tolist() == [0, 1, 2, 3, 5, 7, 9, 11, 14, 17, 20, 23, 27, 31]


def test_even_steps_are_evenly_spaced() -> None:
    steps = space_timesteps(1000, 38, "even")
    assert steps[0] == 0
    assert steps[-1] == 999
    assert (np.diff(steps) == 27).all()
    assert len(space_timesteps(1000, 37, "even")) == 37


@pytest.mark.parametrize("spacing", ["quadratic", "even"])
def test_as_many_evaluations_as_steps_keep_all(spacing: Spacing) -> None:
    for evaluations in (20, 21, 1000):
        assert space_timesteps(20, evaluations, spacing).tolist() == list(range(20))
    assert space_timesteps(20, 1, spacing).tolist() == [19]


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("evaluations", [7, 50, 1000])
def test_spaced_betas_reproduce_alphas_cumprod(evaluations: int, zero_terminal_snr: bool) -> None:
    whole = process(zero_terminal_snr=zero_terminal_snr)
    kept = spaced(whole, evaluations)
    bar = whole.alphas_cumprod[kept.timestep_map]
    np.testing.assert_allclose(np.cumprod(1 - kept.betas), bar, rtol=1e-9, atol=1e-15)
    assert np.array_equal(kept.alphas_cumprod, bar)
    assert np.array_equal(kept.log_snr, whole.log_snr[kept.timestep_map])


def test_all_steps_give_the_process_itself() -> None:
    whole = process()
    kept = spaced(whole, 1000)
    for table in ("betas", "posterior_mean_coef1", "posterior_mean_coef2", "posterior_variance"):
        np.testing.assert_allclose(getattr(kept, table), getattr(whole, table), rtol=1e-9)


def test_posterior_is_the_product_of_two_gaussians() -> None:
    whole = process()
    kept = spaced(whole, 12, "even")
    bar = whole.alpha[kept.timestep_map] ** 2
    for i in range(1, kept.timesteps):  # q(x' | x0) q(x_t | x') as functions of x', by their precisions
        a = bar[i] / bar[i - 1]
        precision = 1 / (1 - bar[i - 1]) + a / (1 - a)
        assert kept.posterior_variance[i] == pytest.approx(1 / precision, rel=1e-9)
        assert kept.betas[i] == pytest.approx(1 - a, rel=1e-9)
        coef1, coef2 = kept.posterior_mean_coef1[i], kept.posterior_mean_coef2[i]
        assert coef1 == pytest.approx(bar[i - 1] ** 0.5 / (1 - bar[i - 1]) / precision, rel=1e-9)
        assert coef2 == pytest.approx(a**0.5 / (1 - a) / precision, rel=1e-9)
    first = kept.posterior_mean_coef1[0], kept.posterior_mean_coef2[0], kept.posterior_variance[0]
    assert first == (pytest.approx(1), 0, 0)


def test_posterior_from_pure_noise_is_finite() -> None:
    kept = spaced(process(zero_terminal_snr=True), 12, "even")
    tables = kept.posterior_mean_coef1, kept.posterior_mean_coef2, kept.posterior_variance, kept.betas
    assert all(np.isfinite(table).all() for table in tables)
    assert np.isfinite(kept.posterior_log_variance_clipped).all()
    assert (kept.posterior_mean_coef2[-1], kept.betas[-1]) == (0, 1)
