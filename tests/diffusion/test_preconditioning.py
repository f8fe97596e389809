"""A Gaussian world, in which the preconditioned model with a silent network is exact: predictions, solvers, losses,
likelihood. References are float64 and numpy, with whole covariance matrices."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tests.diffusion import reference
from tests.diffusion.conftest import small_settings
from tests.diffusion.processes import make_process

from echosynth.diffusion.likelihood import bits_per_dimension
from echosynth.diffusion.model import DiffusionModel, PixelSpace
from echosynth.diffusion.network import NULL_VIEW, ViewDenoiser
from echosynth.diffusion.options import Prediction, Schedule, Solver, SolverParams
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.diffusion.process import Estimate, Process
from echosynth.diffusion.sampling import sample_images
from echosynth.diffusion.solvers import solve

SIDE = 4
PIXELS = SIDE * SIDE
NO_SOURCE = 2
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)
Call = Callable[..., torch.Tensor]


@pytest.fixture(scope="module")
def gaussian() -> PixelGaussian:
    """Of 40 pictures of two views in float64, nine directions each."""
    rng = np.random.default_rng(0)
    mixing = 0.3 * rng.standard_normal((PIXELS, PIXELS)) * 0.8 ** np.arange(PIXELS)[:, None]
    flat = np.tanh(0.2 + rng.standard_normal((40, PIXELS)) @ mixing)
    images = torch.from_numpy(flat).view(40, 1, SIDE, SIDE)
    fitted = PixelGaussian.fit(images, torch.arange(40) % 2, torch.arange(40) // 20, 2, 9)
    return PixelGaussian(**{name: t.double() if t.is_floating_point() else t for name, t in vars(fitted).items()})


def process_of(gaussian: PixelGaussian, prediction: Prediction = "v", **more: Any) -> Process:
    options = {"schedule": "cosine", "timesteps": 1000, "loss": "edm", "preconditioning": "gaussian"} | more
    return Process(small_settings(prediction=prediction, **options), gaussian)


def silent(x: torch.Tensor, t: torch.Tensor, views: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """A network that says 0."""
    return torch.zeros_like(x[:, :1])


def tokens(count: int, view: int = 0, source: int = NO_SOURCE) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((count,), view), torch.full((count,), source)


def moments(gaussian: PixelGaussian, view: int = 0, source: int = NO_SOURCE) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D)."""
    row = gaussian.rows[view, source]
    u, v, r = (tensor[row].numpy() for tensor in (gaussian.directions, gaussian.variances, gaussian.rest))
    return gaussian.mean[row].numpy().ravel(), u.T @ np.diag(v - r) @ u + r * np.eye(PIXELS)


def conditional(process: Process, gaussian: PixelGaussian, x: np.ndarray, t: int) -> tuple[np.ndarray, float]:
    """E[x_0 | x_t] (D,) and the root mean variance around it."""
    (m, c), a, s = moments(gaussian), process.alpha[t], process.sigma[t]
    gain = a * c @ np.linalg.inv(a**2 * c + s**2 * np.eye(PIXELS))
    return m + gain @ (x - a * m), float(np.sqrt(np.trace(c - a * gain @ c) / PIXELS))


@pytest.mark.parametrize("t", [0, 3, 400, 999])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_prediction_is_the_gaussian_s_and_a_share_of_the_network_s(
    gaussian: PixelGaussian, prediction: Prediction, t: int
) -> None:
    """By hand: x_0 = G + c F, and noise and v from x_t = alpha x_0 + sigma eps."""
    process = process_of(gaussian, prediction)
    x, said = torch.randn(2, 1, 1, SIDE, SIDE, dtype=torch.float64)
    got, _ = process.model_output(lambda *_: said, x, torch.tensor([t]), tokens(1))
    expected, deviation = conditional(process, gaussian, x.numpy().ravel(), t)
    x0 = expected + deviation * said.numpy().ravel()
    a, s = process.alpha[t], process.sigma[t]
    noise = (x.numpy().ravel() - a * x0) / s
    by_hand = reference.target(prediction, x0, noise, a, s**2)
    np.testing.assert_allclose(got.numpy().ravel(), by_hand, rtol=1e-6, atol=1e-7)


def test_the_network_sees_a_picture_of_unit_variance_and_the_estimate(gaussian: PixelGaussian) -> None:
    process, seen = process_of(gaussian), []
    noise = torch.randn(4000, 1, SIDE, SIDE, dtype=torch.float64)
    condition = tokens(4000)
    x0 = gaussian.sample(*condition, noise)
    for t in (0, 500, 999):
        xt = process.q_sample(x0, torch.full((4000,), t), torch.randn_like(noise))
        process.model_output(lambda x, *_: seen.append(x) or x[:, :1], xt, torch.full((4000,), t), condition)
        assert seen[-1].shape == (4000, 2, SIDE, SIDE)
        assert float(seen[-1][:, 0].square().mean()) == pytest.approx(1, abs=0.05)
        estimate, _ = conditional(process, gaussian, xt[7].numpy().ravel(), t)
        np.testing.assert_allclose(seen[-1][7, 1].numpy().ravel(), estimate, atol=1e-8)


def flow_error(process: Process, gaussian: PixelGaussian, solver: Solver, evaluations: int) -> float:
    """Largest distance from the exact probability flow, along which each direction keeps its standard coordinate."""
    noise = torch.randn(6, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    m, c = moments(gaussian)
    values, vectors = np.linalg.eigh(c)

    def spread(t: int) -> np.ndarray:
        return np.sqrt(process.alpha[t] ** 2 * values + process.sigma[t] ** 2)

    z = (noise.numpy().reshape(6, -1) - process.alpha[-1] * m) @ vectors / spread(-1)
    last = process.alpha[0] * m + (z * spread(0)) @ vectors.T
    exact = np.stack([conditional(process, gaussian, row, 0)[0] for row in last])

    def denoise(x: torch.Tensor, t: int) -> Estimate:
        steps = torch.full((len(x),), t)
        prediction, fraction = process.model_output(silent, x, steps, tokens(len(x)))
        return Estimate(process.predict_x0(prediction, x, steps), fraction)

    drawn = solve(SolverParams.plain(solver, evaluations), process, denoise, noise)
    return float(np.abs(drawn.numpy().reshape(6, -1) - exact).max())


@pytest.mark.parametrize(
    ("schedule", "prediction"), [*(("linear", prediction) for prediction in PREDICTIONS), ("flow", "flow")]
)
@pytest.mark.parametrize(
    ("solver", "low", "high"), [("ddim", 1.7, 2.3), ("dpm++", 3, 10), ("heun", 3, 8), ("unipc", 3.4, 20)]
)
def test_a_silent_network_samples_the_gaussian_and_solvers_keep_their_order(
    gaussian: PixelGaussian, solver: Solver, low: float, high: float, prediction: Prediction, schedule: Schedule
) -> None:
    process = process_of(gaussian, prediction, schedule=schedule, timesteps=4000)
    coarse, fine = (flow_error(process, gaussian, solver, evaluations) for evaluations in (80, 160))
    assert fine < 0.03
    assert low < coarse / fine < high


@pytest.mark.parametrize("prediction", [name for name in PREDICTIONS if name != "epsilon"])
def test_without_signal_at_the_end_it_stays_finite_and_exact(gaussian: PixelGaussian, prediction: Prediction) -> None:
    process = process_of(gaussian, prediction, zero_terminal_snr=True)
    x, t = torch.randn(1, 1, SIDE, SIDE, dtype=torch.float64), torch.tensor([999])
    got = process.predict_x0(process.model_output(silent, x, t, tokens(1))[0], x, t)
    np.testing.assert_allclose(got.numpy().ravel(), moments(gaussian)[0], atol=1e-9)  # nothing is known but the mean
    assert flow_error(process, gaussian, "unipc", 80) < 0.01
    losses = process.training_losses(silent, x, tokens(1), t, torch.randn_like(x))
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_edm_asks_for_the_same_at_every_step(gaussian: PixelGaussian, prediction: Prediction) -> None:
    """A silent network has a loss of 1 wherever the images are those of the Gaussian."""
    process, count = process_of(gaussian, prediction), 4000
    generator = torch.Generator().manual_seed(2)
    draws = [torch.randn(count, 1, SIDE, SIDE, generator=generator, dtype=torch.float64) for _ in range(2)]
    x0 = gaussian.sample(*tokens(count), draws[0])
    for t in (0, 30, 300, 700, 999):
        loss = process.training_losses(silent, x0, tokens(count), torch.full((count,), t), draws[1])
        assert float(loss.mean()) == pytest.approx(1, abs=0.06)


def test_edm_is_exact_in_float32_at_both_ends(gaussian: PixelGaussian) -> None:
    """Noise as the prediction says nothing of the image where alpha is near 0: the loss must not go through it."""
    single = PixelGaussian(**{n: x.float() if x.is_floating_point() else x for n, x in vars(gaussian).items()})
    x0, noise = torch.randn(2, 3, 1, SIDE, SIDE, dtype=torch.float64)
    for t in (0, 999):
        steps = torch.full((3,), t)
        exact = process_of(gaussian, "epsilon").training_losses(silent, x0, tokens(3), steps, noise)
        rounded = process_of(single, "epsilon").training_losses(silent, x0.float(), tokens(3), steps, noise.float())
        torch.testing.assert_close(rounded.double(), exact, rtol=1e-3, atol=0)


def test_other_losses_are_those_of_the_prediction(gaussian: PixelGaussian) -> None:
    process = process_of(gaussian, loss="simple")
    x0, noise = torch.randn(2, 5, 1, SIDE, SIDE, dtype=torch.float64)
    t = torch.tensor([0, 10, 400, 800, 999])
    prediction, _ = process.model_output(silent, process.q_sample(x0, t, noise), t, tokens(5))
    by_hand = (prediction - process.target(x0, t, noise)).square().flatten(1).mean(1)
    torch.testing.assert_close(process.training_losses(silent, x0, tokens(5), t, noise), by_hand)


def test_channels_of_a_learned_variance_pass_untouched(gaussian: PixelGaussian) -> None:
    process = process_of(gaussian, variance="learned", loss="hybrid")
    raw = torch.randn(3, 2, SIDE, SIDE, dtype=torch.float64)
    x, t = torch.randn(3, 1, SIDE, SIDE, dtype=torch.float64), torch.tensor([1, 500, 999])
    _, fraction = process.model_output(lambda *_: raw, x, t, tokens(3))
    torch.testing.assert_close(fraction, (raw[:, 1:] + 1) / 2)


def test_the_likelihood_is_that_of_the_exact_denoiser(gaussian: PixelGaussian) -> None:
    preconditioned, plain = process_of(gaussian), make_process("cosine", 1000, "v")
    x0 = gaussian.sample(*tokens(6), torch.randn(6, 1, SIDE, SIDE, dtype=torch.float64)).clamp(-1, 1)

    def exact(x: torch.Tensor, t: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        rows = [conditional(plain, gaussian, row.numpy().ravel(), int(n))[0] for row, n in zip(x, t, strict=True)]
        estimate = torch.from_numpy(np.stack(rows)).view_as(x)
        return plain.predict_from_x0(estimate, x, t)

    one, other = (
        bits_per_dimension(process, network, x0, tokens(6), seed=0, terms=16).total
        for process, network in ((preconditioned, silent), (plain, exact))
    )
    torch.testing.assert_close(one, other, rtol=1e-7, atol=0)


def test_the_hidden_view_has_the_statistics_of_all(gaussian: PixelGaussian) -> None:
    process = process_of(gaussian)
    x, t = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64), torch.tensor([999])
    for view, source in ((0, 1), (NULL_VIEW, 1), (1, NO_SOURCE), (NULL_VIEW, NO_SOURCE)):
        got = process.predict_x0(process.model_output(silent, x, t, tokens(1, view, source))[0], x, t)
        np.testing.assert_allclose(got.numpy().ravel(), moments(gaussian, view, source)[0], atol=1e-3)


def test_autocast_rounds_the_network_alone(gaussian: PixelGaussian) -> None:
    single = PixelGaussian(**{n: x.float() if x.is_floating_point() else x for n, x in vars(gaussian).items()})
    process, x, t = process_of(single), torch.randn(2, 1, SIDE, SIDE), torch.tensor([5, 900])
    plain = process.model_output(silent, x, t, tokens(2))[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(process.model_output(silent, x, t, tokens(2))[0], plain)


def test_the_untrained_model_samples_the_gaussian() -> None:
    """The U-Net's last convolution starts at 0: pictures of 16 x 16 from the whole sampler, in both spaces' terms."""
    params = small_settings(preconditioning="gaussian", loss="edm", patching="haar")
    level = torch.linspace(-0.4, 0.4, 8).view(8, 1, 1, 1)
    images = (level * torch.linspace(-1, 1, 16).view(1, 1, 1, 16)).expand(8, 1, 16, 16)
    fitted = PixelGaussian.fit(images, torch.arange(8) % 4, torch.zeros(8, dtype=torch.long), 1, 256)
    network, process = ViewDenoiser(params, 16, 1).eval(), Process(params, fitted)
    model = DiffusionModel(network, process, PixelSpace(fitted), (1, 16, 16), True)
    views = torch.arange(4)
    drawn = sample_images(model, views, torch.zeros(4, dtype=torch.long), 1, SolverParams.plain("unipc", 40), "fp32")
    # Such pictures are a ramp from left to right: rows of a sample agree as they do in the Gaussian.
    rows = drawn.astype(float).mean(1)
    slope = np.polynomial.polynomial.polyfit(np.arange(16), rows.T, 1)[1]
    line = rows.mean(1, keepdims=True) + slope[:, None] * (np.arange(16) - 7.5)
    assert np.abs(rows - line).mean() < 12
    assert drawn.std() > 1


@pytest.mark.parametrize("given", [True, False])
def test_process_and_statistics_must_fit(gaussian: PixelGaussian, given: bool) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Process(small_settings(preconditioning="none" if given else "gaussian"), gaussian if given else None)
