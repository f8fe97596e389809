"""The kept steps, and the betas and posterior over them against conditioning of Gaussians."""

import numpy as np
import pytest

from echosynth.diffusion.process import Process
from echosynth.diffusion.respace import Spacing, grid, respaced_betas, respaced_posterior


def process(timesteps: int = 1000, zero_terminal_snr: bool = False) -> Process:
    return Process("cosine", timesteps, "v", zero_terminal_snr=zero_terminal_snr)


def test_quadratic_steps_are_those_of_the_first_release() -> None:
    assert grid(process(), 8).tolist() == [999, 734, 510, 326, 183, 82, 20, 0]
    assert grid(process(32), 16, "quadratic").tolist() == [31, 27, 23, 20, 17, 14, 11, 9, 7, 5, 3, 2, 1, 0]


def test_even_steps_are_evenly_spaced() -> None:
    steps = grid(process(), 38, "even")
    assert steps[0] == 999
    assert steps[-1] == 0
    assert (np.diff(steps) == -27).all()
    assert len(grid(process(), 37, "even")) == 37


@pytest.mark.parametrize("spacing", ["quadratic", "even"])
def test_as_many_evaluations_as_steps_keep_all(spacing: Spacing) -> None:
    for evaluations in (20, 21, 1000):
        assert grid(process(20), evaluations, spacing).tolist() == list(range(19, -1, -1))
    assert grid(process(20), 1, spacing).tolist() == [19]


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("evaluations", [7, 50, 1000])
def test_respaced_betas_reproduce_alpha_bar(evaluations: int, zero_terminal_snr: bool) -> None:
    forward = process(zero_terminal_snr=zero_terminal_snr)
    steps = grid(forward, evaluations)
    bar = np.cumprod(1 - respaced_betas(forward, steps)[::-1])[::-1]
    np.testing.assert_allclose(bar, forward.alpha[steps] ** 2, rtol=1e-9, atol=1e-15)


def test_all_steps_give_the_betas_of_the_process() -> None:
    forward = process()
    np.testing.assert_allclose(respaced_betas(forward, grid(forward, 1000))[::-1], forward.betas, rtol=1e-9)


def test_posterior_is_the_product_of_two_gaussians() -> None:
    forward = process()
    steps = grid(forward, 12, "even")
    posterior = respaced_posterior(forward, steps)
    bar = forward.alpha[steps] ** 2
    for i in range(len(steps) - 1):  # q(x' | x0) q(x_t | x') as functions of x', by their precisions
        a = bar[i] / bar[i + 1]
        precision = 1 / (1 - bar[i + 1]) + a / (1 - a)
        assert posterior.small[i] == pytest.approx(1 / precision, rel=1e-9)
        assert posterior.large[i] == pytest.approx(1 - a, rel=1e-9)
        assert posterior.of_x0[i] == pytest.approx(bar[i + 1] ** 0.5 / (1 - bar[i + 1]) / precision, rel=1e-9)
        assert posterior.of_xt[i] == pytest.approx(a**0.5 / (1 - a) / precision, rel=1e-9)
    assert (posterior.of_x0[-1], posterior.of_xt[-1], posterior.small[-1]) == (pytest.approx(1), 0, 0)


def test_posterior_from_pure_noise_is_finite() -> None:
    forward = process(zero_terminal_snr=True)
    posterior = respaced_posterior(forward, grid(forward, 12, "even"))
    assert all(np.isfinite(table).all() for table in posterior)
    assert (posterior.of_xt[0], posterior.large[0]) == (0, 1)
