"""Noise schedules against their published forms."""

from typing import get_args

import numpy as np
import pytest
from tests.diffusion import reference

from echosynth.diffusion.options import Schedule
from echosynth.diffusion.schedules import betas

SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)


def test_linear_betas_are_those_of_the_paper() -> None:
    table = betas("linear", 1000, False)
    assert table[0] == pytest.approx(1e-4)
    assert table[-1] == pytest.approx(0.02)
    assert np.allclose(np.diff(table), (0.02 - 1e-4) / 999)


@pytest.mark.parametrize("timesteps", [10, 250, 1000, 4000])
def test_linear_range_follows_the_number_of_steps(timesteps: int) -> None:
    assert np.allclose(betas("linear", timesteps, False), reference.linear_betas(timesteps), rtol=1e-12)


@pytest.mark.parametrize("timesteps", [50, 1000, 4000])
@pytest.mark.parametrize("schedule", ["cosine", "sigmoid", "flow"])
def test_alpha_bar_has_the_closed_form_until_a_beta_is_clipped(schedule: Schedule, timesteps: int) -> None:
    form = {
        "cosine": reference.cosine_alpha_bar,
        "sigmoid": reference.sigmoid_alpha_bar,
        "flow": reference.flow_alpha_bar,
    }[schedule]
    table = betas(schedule, timesteps, False)
    free = np.cumprod(table < 0.999).astype(bool)
    assert free.sum() >= timesteps - 2
    assert np.allclose(np.cumprod(1 - table)[free], form(timesteps)[free], rtol=1e-9, atol=0)
    assert table[-1] == 0.999


@pytest.mark.parametrize("timesteps", [10, 100, 1000])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_betas_are_variances_in_range(schedule: Schedule, timesteps: int) -> None:
    table = betas(schedule, timesteps, False)
    assert table.shape == (timesteps,)
    assert table.dtype == np.float64
    assert ((table > 0) & (table <= 0.999)).all()


@pytest.mark.parametrize("timesteps", [10, 1000])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_zero_terminal_snr_leaves_nothing_of_the_image_and_the_first_step_as_it_was(
    schedule: Schedule, timesteps: int
) -> None:
    plain, rescaled = betas(schedule, timesteps, False), betas(schedule, timesteps, zero_terminal_snr=True)
    bar = np.cumprod(1 - rescaled)
    assert bar[-1] == 0
    assert bar[0] == pytest.approx(1 - plain[0], rel=1e-14)
    assert (bar[:-1] > 0).all()
    assert np.allclose(rescaled, reference.zero_snr_betas(plain), rtol=0, atol=1e-12)


def test_scaled_linear_betas_are_those_of_diffusers() -> None:
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(1000, beta_start=0.002, beta_end=0.02, beta_schedule="scaled_linear").betas
    assert np.allclose(betas("scaled-linear", 1000, False), theirs.numpy(), rtol=1e-5)
    # For any number of steps about as little of the picture is left at the end.
    left = [np.log1p(-betas("scaled-linear", timesteps, False)).sum() for timesteps in (500, 1000, 2000)]
    assert np.allclose(left, left[1], rtol=0.01)
