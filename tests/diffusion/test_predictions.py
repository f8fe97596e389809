"""Flow and EDM against the papers' own forms, in float64: the path's derivative, and D = c_skip x + c_out F(c_in x)."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from tests.diffusion import reference
from tests.diffusion.processes import make_process

from echosynth.diffusion.options import Prediction, Schedule, Space
from echosynth.diffusion.predictions import PREDICTIONS, SIGMA_DATA

TIMES = torch.tensor([0, 1, 250, 500, 900, 990])


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, len(TIMES), 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("schedule", get_args(Schedule))
@pytest.mark.parametrize("prediction", get_args(Prediction))
def test_image_and_prediction_are_each_other_s_inverse(prediction: Prediction, schedule: Schedule) -> None:
    process, (x0, xt, said) = make_process(schedule, 1000, prediction), images()
    back = process.predict_x0(process.predict_from_x0(x0, xt, TIMES), xt, TIMES)
    torch.testing.assert_close(back, x0, rtol=1e-9, atol=1e-9)
    again = process.predict_from_x0(process.predict_x0(said, xt, TIMES), xt, TIMES)
    torch.testing.assert_close(again, said, rtol=1e-6, atol=1e-6)  # at t = 0 little of the image is left open


def test_the_flow_is_the_derivative_of_the_straight_path() -> None:
    """Liu et al. 2023, eq. 1; the network sees the same point, scaled so that the variance is preserved."""
    process, (x0, noise, _) = make_process("flow", 1000, "flow"), images()
    s = (TIMES + 1).double().view(-1, 1, 1, 1) / 1000
    path, velocity = torch.func.jvp(lambda s: (1 - s) * x0 + s * noise, (s,), (torch.ones_like(s),))
    torch.testing.assert_close(process.target(x0, TIMES, noise), velocity)
    xt = process.q_sample(x0, TIMES, noise)
    torch.testing.assert_close(xt * ((1 - s) ** 2 + s**2).sqrt(), path, rtol=1e-9, atol=1e-9)
    # x_0 = x_s - s u on the path itself.
    said = images(1)[0]
    torch.testing.assert_close(process.predict_x0(said, xt, TIMES), path - s * said, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", get_args(Schedule))
@pytest.mark.parametrize("space", get_args(Space))
def test_edm_is_table_1_of_karras(schedule: Schedule, space: Space) -> None:
    process = make_process(schedule, 1000, "edm", space=space, unshuffle=1)
    x0, noise, said = images()
    seen: list[torch.Tensor] = []
    xt = process.q_sample(x0, TIMES, noise)
    prediction, _ = process.model_output(lambda x, *_: seen.append(x) or said, xt, TIMES, ())
    denoised = process.predict_x0(prediction, xt, TIMES)
    for row, t in enumerate(TIMES.tolist()):
        factor, variance = reference.marginal(process.betas, t)
        skip, out, scale = reference.edm(math.sqrt(variance) / factor, {"pixel": 0.5, "latent": 1.0}[space])
        x = xt[row] / factor  # x_0 + sigma eps
        torch.testing.assert_close(seen[0][row], scale * x, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(denoised[row], skip * x + out * said[row], rtol=1e-8, atol=1e-8)


def test_edm_of_data_of_unit_variance_is_v_with_the_other_sign() -> None:
    """Salimans & Ho 2022, appendix D: v is what preserves both variances."""
    alpha, sigma = np.cos(np.linspace(0.01, 1.57, 9)), np.sin(np.linspace(0.01, 1.57, 9))
    edm, v = PREDICTIONS["edm"](alpha, sigma, 1.0), PREDICTIONS["v"](alpha, sigma, 1.0)
    np.testing.assert_allclose(edm.image, -v.image)
    np.testing.assert_allclose(edm.noise, -v.noise)


def test_the_loss_edm_is_karras_weighted_error_of_the_image() -> None:
    """Karras et al. 2022, eq. 2 with lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 of table 1."""
    process, (x0, noise, said) = make_process("cosine", 1000, "edm", loss="edm"), images()
    losses = process.training_losses(lambda *_: said, x0, (), TIMES, noise)
    denoised = process.predict_x0(said, process.q_sample(x0, TIMES, noise), TIMES)
    levels, data = (process.sigma / process.alpha)[TIMES.numpy()], SIGMA_DATA["pixel"]
    weights = (levels**2 + data**2) / (levels * data) ** 2
    np.testing.assert_allclose(losses, weights * (denoised - x0).square().flatten(1).mean(1).numpy(), rtol=1e-7)


def test_a_silent_edm_network_has_the_same_loss_at_every_step() -> None:
    """Karras et al. 2022, section 5: of data of the deviation that is assumed, F is to have unit variance."""
    process = make_process("cosine", 1000, "edm", loss="edm")
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 4000, 1, 4, 4, generator=generator, dtype=torch.float64)
    for t in TIMES.tolist():
        steps = torch.full((4000,), t)
        loss = process.training_losses(lambda x, *_: torch.zeros_like(x), 0.5 * x0, (), steps, noise)
        assert float(loss.mean()) == pytest.approx(1, abs=0.03)
