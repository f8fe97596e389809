"""The solvers against closed forms (Gaussian data and a mixture have exact denoisers), papers' equations and diffusers.

Gaussian data stay Gaussian: with x_0 ~ N(MEAN, SPREAD^2), x_t ~ N(alpha MEAN, alpha^2 SPREAD^2 + sigma^2), the
probability flow keeps the standardised coordinate, and every solver's output is affine in the noise that it is given.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from tests.diffusion.processes import make_process

from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.diffusion.options import Schedule, Solver, SolverParams, Variance
from echosynth.diffusion.process import Estimate, Process
from echosynth.diffusion.solvers import Denoise, kept_steps, network_evaluations, solve

MEAN, SPREAD = 0.3, 0.5


def make(schedule: Schedule, variance: Variance = "fixed-small", timesteps: int = 1000, zero: bool = False) -> Process:
    return make_process(schedule, timesteps, "v", variance, zero_terminal_snr=zero)


def by(solver: Solver, evaluations: int, eta: float = 0.0) -> SolverParams:
    """This solver without guidance."""
    return SolverParams.model_validate(SolverParams.plain(solver, evaluations).model_dump() | {"eta": eta})


def visited(solver: Solver, process: Process, evaluations: int) -> np.ndarray:
    """Steps t that the solver visits, from T-1 down to 0."""
    return kept_steps(by(solver, evaluations), process).timestep_map[::-1]


def spread_at(process: Process, t: int) -> float:
    return float(np.hypot(process.alpha[t] * SPREAD, process.sigma[t]))


def gaussian_denoiser(process: Process, steps: np.ndarray | None = None) -> Denoise:
    """E[x_0 | x_t]; with `steps` also the fraction at which the variance of x' given x_t is the true one."""
    following = {} if steps is None else dict(zip(steps.tolist(), steps[1:].tolist(), strict=False))

    def denoise(x: torch.Tensor, t: int) -> Estimate:
        alpha = float(process.alpha[t])
        x0 = MEAN + alpha * SPREAD**2 / spread_at(process, t) ** 2 * (x - alpha * MEAN)
        if t not in following:
            return Estimate(x0)
        before = following[t]
        beta = 1 - (alpha / process.alpha[before]) ** 2
        small = beta * process.sigma[before] ** 2 / process.sigma[t] ** 2
        true = beta * spread_at(process, before) ** 2 / spread_at(process, t) ** 2
        return Estimate(x0, torch.full_like(x, math.log(true / small) / math.log(beta / small)))

    return denoise


def images(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def flow_error(process: Process, solver: Solver, evaluations: int) -> float:
    """Largest distance of the solver's image from the exact solution of the probability-flow equation."""
    noise = images(*np.linspace(-2, 2, 9))
    denoise = gaussian_denoiser(process)
    z = (noise - float(process.alpha[-1]) * MEAN) / spread_at(process, -1)
    exact = denoise(float(process.alpha[0]) * MEAN + spread_at(process, 0) * z, 0).x0
    return float((solve(by(solver, evaluations), process, denoise, noise) - exact).abs().max())


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("schedule", get_args(Schedule))
@pytest.mark.parametrize(
    ("solver", "coarse", "fine"),
    [("ddim", 0.09, 0.011), ("dpm++", 0.03, 1.2e-3), ("unipc", 0.02, 3e-4), ("heun", 0.05, 1.2e-3)],
)
def test_deterministic_solvers_converge_to_the_exact_flow(
    solver: Solver, coarse: float, fine: float, schedule: Schedule, zero: bool
) -> None:
    process = make(schedule, zero=zero)
    assert flow_error(process, solver, 20) < coarse
    # Measured down to t = 0, where scaled-linear, whose first step is 20 times that of linear, has more noise left.
    assert flow_error(process, solver, 160) < fine * (3 if schedule == "scaled-linear" else 1)


@pytest.mark.parametrize("schedule", ["linear", "flow"])
@pytest.mark.parametrize(("solver", "low", "high"), [("ddim", 1.8, 2.2), ("dpm++", 3.5, 6), ("heun", 3.5, 6)])
def test_solvers_have_their_order(solver: Solver, low: float, high: float, schedule: Schedule) -> None:
    process = make(schedule, timesteps=4000)
    errors = [flow_error(process, solver, evaluations) for evaluations in (40, 80, 160)]
    for coarse, fine in pairwise(errors):
        # Order 1: 2, order 2: 4. On the straight path what DPM-Solver++ (2M) neglects is smaller still.
        assert low < coarse / fine < (math.inf if (solver, schedule) == ("dpm++", "flow") else high)


@pytest.mark.parametrize("schedule", ["linear", "flow"])
def test_unipc_is_at_least_of_second_order(schedule: Schedule) -> None:
    process = make(schedule, timesteps=4000)
    assert flow_error(process, "unipc", 40) / flow_error(process, "unipc", 80) > 4  # its corrector makes it 8


def test_ddim_on_the_flow_schedule_is_euler_s_method_on_the_straight_path() -> None:
    """Liu et al. 2023, algorithm 1: dx/ds = u(x, s), from s = 1 down, with the exact u = E[eps - x_0 | x_s]."""
    process = make_process("flow", 100, "flow", zero_terminal_snr=True)
    steps = visited("ddim", process, 30)
    x = noise = images(*np.linspace(-2, 2, 9))
    assert process.alpha[-1] == 0  # s = 1: pure noise

    def velocity(x: torch.Tensor, s: float) -> torch.Tensor:
        gain = ((1 - s) * SPREAD**2) / ((1 - s) ** 2 * SPREAD**2 + s**2)
        x0 = MEAN + gain * (x - (1 - s) * MEAN)
        return (x - x0) / s

    # The place on the path of each step, from its noise level.
    places = process.sigma[steps] / (process.alpha[steps] + process.sigma[steps])
    for s, following in pairwise([*places, 0.0]):
        x = x + (following - s) * velocity(x, s)
    result = solve(by("ddim", 30), process, gaussian_denoiser(process), noise)
    torch.testing.assert_close(result, x, rtol=1e-9, atol=1e-9)


# --- each step against the paper -------------------------------------------------------------------------------------


def test_ddim_steps_follow_equations_12_and_16() -> None:
    process, eta, x = make("cosine"), 0.6, images(-1.1, 0.2, 1.7)
    fresh = [images(0.3, -0.8, 1.1), images(-1.5, 0.4, 0.1), images(0.9, 0.6, -0.2)]
    result = solve(by("ddim", 4, eta), process, gaussian_denoiser(process), x, lambda number: fresh[number])
    bar = np.cumprod(1 - process.betas)
    for t, before, noise in zip((999, 444, 111), (444, 111, 0), fresh, strict=True):
        x0 = gaussian_denoiser(process)(x, t).x0
        drawn = eta * math.sqrt((1 - bar[before]) / (1 - bar[t])) * math.sqrt(1 - bar[t] / bar[before])
        epsilon = (x - math.sqrt(bar[t]) * x0) / math.sqrt(1 - bar[t])
        x = math.sqrt(bar[before]) * x0 + math.sqrt(1 - bar[before] - drawn**2) * epsilon + drawn * noise
    torch.testing.assert_close(result, gaussian_denoiser(process)(x, 0).x0, rtol=1e-9, atol=1e-9)


def test_heun_is_algorithm_1_of_karras() -> None:
    process, noise = make("linear"), images(-1.1, 0.2, 1.7)
    steps = visited("heun", process, 79)
    alpha = process.alpha[steps]
    levels = process.sigma[steps] / alpha
    assert (levels[:-1] < 2 * levels[1:]).all()  # longer steps are damped

    def slope(x: torch.Tensor, i: int) -> torch.Tensor:
        return (x - gaussian_denoiser(process)(alpha[i] * x, int(steps[i])).x0) / levels[i]

    x = noise / alpha[0]
    for i in range(len(steps) - 1):
        euler = x + (levels[i + 1] - levels[i]) * slope(x, i)
        x = x + (levels[i + 1] - levels[i]) * (slope(x, i) + slope(euler, i + 1)) / 2
    x = x - levels[-1] * slope(x, len(steps) - 1)
    torch.testing.assert_close(
        solve(by("heun", 79), process, gaussian_denoiser(process), noise), x, rtol=1e-9, atol=1e-9
    )


def test_unipc_is_unipc_2_of_zhao() -> None:
    """Zhao et al. 2023, algorithms 5 to 8 for p = 2 and B(h) = exp(h) - 1, data prediction; first and last step of
    first order."""
    process, noise = make("linear"), images(-1.1, 0.2, 1.7)
    steps = visited("unipc", process, 10)
    alpha, sigma, lambdas = process.alpha[steps], process.sigma[steps], process.log_snr[steps]
    estimates: list[torch.Tensor] = []
    x = predicted = noise
    for i in range(len(steps)):
        estimate = gaussian_denoiser(process)(predicted, int(steps[i])).x0
        h = lambdas[i] - lambdas[i - 1]
        if i > 0:  # the corrector sees the estimates here, at the step before and, from the second step on, before that
            change = 0.5 * (estimate - estimates[-1])
            if i > 1:
                r = (lambdas[i - 2] - lambdas[i - 1]) / h
                phi = np.expm1(-h) / -h - 1, (np.expm1(-h) / -h - 1) / -h - 0.5
                weights = np.linalg.solve([[1, 1], [r, 1]], [phi[0] / np.expm1(-h), 2 * phi[1] / np.expm1(-h)])
                change = weights[0] * (estimates[-2] - estimates[-1]) / r + weights[1] * (estimate - estimates[-1])
            x = sigma[i] / sigma[i - 1] * x - alpha[i] * np.expm1(-h) * (estimates[-1] + change)
        estimates.append(estimate)
        if i + 1 < len(steps):
            h = lambdas[i + 1] - lambdas[i]
            change = torch.zeros_like(x)
            if 0 < i < len(steps) - 2:
                change = 0.5 * (estimates[-2] - estimate) / ((lambdas[i - 1] - lambdas[i]) / h)
            predicted = sigma[i + 1] / sigma[i] * x - alpha[i + 1] * np.expm1(-h) * (estimate + change)
    result = solve(by("unipc", 10), process, gaussian_denoiser(process), noise)
    torch.testing.assert_close(result, estimates[-1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_dpm_solver_pp_agrees_with_diffusers(schedule: Schedule) -> None:
    _torchvision.make_importable()
    from diffusers.schedulers import DPMSolverMultistepScheduler

    process, x = make(schedule), images(-1.1, 0.2, 1.7)
    result = solve(by("dpm++", 12), process, gaussian_denoiser(process), x)
    scheduler = DPMSolverMultistepScheduler(
        trained_betas=process.betas, prediction_type="sample", final_sigmas_type="sigma_min"
    )
    scheduler.set_timesteps(timesteps=visited("dpm++", process, 12)[:-1].tolist())
    for t in scheduler.timesteps:
        x = scheduler.step(gaussian_denoiser(process)(x, int(t)).x0, t, x).prev_sample
    torch.testing.assert_close(result, gaussian_denoiser(process)(x, 0).x0, rtol=0, atol=1e-4)  # its tables: float32


# --- the distribution of the images ----------------------------------------------------------------------------------


def moments(process: Process, solver: Solver, evaluations: int, eta: float = 0.0) -> tuple[float, float]:
    """Mean and variance of the images over all noise, without sampling: the output is affine in the noise, so that its
    variance is the sum of squares of the responses to a unit of noise in each place."""
    steps = visited(solver, process, evaluations)
    noise = images(0, 1, *[0] * len(steps))

    def fresh(number: int) -> torch.Tensor:
        return torch.eye(len(steps) + 2, dtype=torch.float64)[2 + number].view(-1, 1, 1, 1)

    denoise = gaussian_denoiser(process, steps if process.variance == "learned" else None)
    output = solve(by(solver, evaluations, eta), process, denoise, noise, fresh).flatten()
    return float(output[0]), float((output[1:] - output[0]).square().sum())


def exact_variance(process: Process) -> float:
    """Variance of E[x_0 | x_t] at t = 0."""
    return (float(process.alpha[0]) * SPREAD**2 / spread_at(process, 0)) ** 2


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("evaluations", [2, 5, 25, 200])
def test_learned_variance_is_exact_with_any_number_of_steps(schedule: Schedule, evaluations: int) -> None:
    process = make(schedule, "learned", zero=True)
    mean, variance = moments(process, "ancestral", evaluations)
    assert mean == pytest.approx(MEAN, abs=1e-9)
    assert variance == pytest.approx(exact_variance(process), rel=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_fixed_variances_bound_the_exact_one_and_meet_it_with_all_steps(schedule: Schedule) -> None:
    small, large = (make(schedule, variance, 500, True) for variance in ("fixed-small", "fixed-large"))
    exact = exact_variance(small)
    for evaluations, gap in ((25, 1.0), (500, 0.03)):
        low, high = moments(small, "ancestral", evaluations), moments(large, "ancestral", evaluations)
        assert low[0] == pytest.approx(MEAN, abs=1e-9)
        assert high[0] == pytest.approx(MEAN, abs=1e-9)
        assert exact * (1 - gap) < low[1] < exact < high[1] < exact * (1 + gap)
    few = moments(small, "ancestral", 25)[1], moments(large, "ancestral", 25)[1]
    assert few[0] < 0.95 * exact
    assert few[1] > 1.05 * exact


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_ddim_with_noise_has_the_right_mean_and_variance(eta: float) -> None:
    process = make("cosine")
    mean, variance = moments(process, "ddim", 1000, eta)
    assert mean == pytest.approx(MEAN, abs=1e-4)
    assert variance == pytest.approx(exact_variance(process), rel=0.03)


def test_ddim_with_all_the_noise_is_ancestral_sampling() -> None:
    process = make("linear", timesteps=40)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(41, 3, 1, 2, 2, generator=generator, dtype=torch.float64)
    arguments = process, gaussian_denoiser(process), noise[-1]
    ddim = solve(by("ddim", 40, 1.0), *arguments, fresh=lambda number: noise[number])
    ancestral = solve(by("ancestral", 40), *arguments, fresh=lambda number: noise[number])
    torch.testing.assert_close(ddim, ancestral, rtol=1e-9, atol=1e-9)


def mixture_denoiser(process: Process, steps: np.ndarray) -> Denoise:
    """Exact denoiser of 0.2 N(-0.6, 0.1^2) + 0.8 N(0.4, 0.1^2), and the fraction of the best reverse variance."""
    weights, means, width = (0.2, 0.8), (-0.6, 0.4), 0.1
    following = dict(zip(steps.tolist(), steps[1:].tolist(), strict=False))

    def denoise(x: torch.Tensor, t: int) -> Estimate:
        alpha, sigma = float(process.alpha[t]), float(process.sigma[t])
        total = (alpha * width) ** 2 + sigma**2
        logits = [math.log(w) - (x - alpha * m) ** 2 / (2 * total) for w, m in zip(weights, means, strict=True)]
        share = torch.softmax(torch.stack(logits), 0)
        centres = torch.stack([m + alpha * width**2 / total * (x - alpha * m) for m in means])
        x0 = (share * centres).sum(0)
        if t not in following or process.variance != "learned":
            return Estimate(x0)
        remaining = (share * (centres - x0) ** 2).sum(0) + width**2 * sigma**2 / total  # Var[x_0 | x_t]
        before = following[t]
        beta = 1 - (alpha / process.alpha[before]) ** 2
        small = beta * process.sigma[before] ** 2 / sigma**2
        true = small + (process.alpha[before] * beta / sigma**2) ** 2 * remaining
        return Estimate(x0, torch.log(true / small) / math.log(beta / small))

    return denoise


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(
    ("solver", "variance", "eta", "evaluations"),
    [
        ("ancestral", "fixed-small", 0.0, 250),
        ("ancestral", "fixed-large", 0.0, 250),
        ("ancestral", "learned", 0.0, 40),
        ("ddim", "fixed-small", 0.0, 40),
        ("ddim", "fixed-small", 1.0, 250),
        ("dpm++", "fixed-small", 0.0, 40),
        ("unipc", "fixed-small", 0.0, 40),
        ("heun", "fixed-small", 0.0, 79),
    ],
)
def test_two_modes_are_sampled_in_their_proportions(
    solver: Solver, variance: Variance, eta: float, evaluations: int, zero: bool
) -> None:
    process = make("cosine", variance, zero=zero)
    generator = torch.Generator().manual_seed(3)

    def draw(number: int = 0) -> torch.Tensor:
        return torch.randn(8000, 1, 1, 1, generator=generator, dtype=torch.float64)

    denoise = mixture_denoiser(process, visited(solver, process, evaluations))
    output = solve(by(solver, evaluations, eta), process, denoise, draw(), draw)
    left, right = output[output < -0.1], output[output >= -0.1]
    assert len(left) / len(output) == pytest.approx(0.2, abs=0.018)  # 4 standard errors
    assert left.mean().item() == pytest.approx(-0.6, abs=0.015)
    assert right.mean().item() == pytest.approx(0.4, abs=0.01)
    assert left.std().item() == pytest.approx(0.1, abs=0.015)
    assert right.std().item() == pytest.approx(0.1, abs=0.015)


# --- what a caller relies on -----------------------------------------------------------------------------------------


def counting(denoise: Denoise, calls: list[int]) -> Denoise:
    def counted(x: torch.Tensor, t: int) -> Estimate:
        calls.append(t)
        return denoise(x, t)

    return counted


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("solver", get_args(Solver))
def test_every_solver_keeps_to_its_evaluations_and_stays_finite(solver: Solver, zero: bool) -> None:
    process = make("linear", "learned", 30, zero)
    noise = torch.linspace(-2, 2, 8).view(2, 1, 2, 2)
    for evaluations in (1, 2, 3, 4, 7, 30, 90):
        calls: list[int] = []
        denoise = gaussian_denoiser(process, visited(solver, process, evaluations))
        output = solve(by(solver, evaluations), process, counting(denoise, calls), noise, fresh=lambda number: noise)
        assert len(calls) == network_evaluations(by(solver, evaluations), process) <= evaluations
        assert calls[0] == 29
        assert calls[-1] == (29 if len(calls) == 1 else 0)
        assert output.isfinite().all()
        assert output.shape == noise.shape
        assert output.dtype == torch.float32


def test_noise_is_drawn_once_for_each_step_but_the_last() -> None:
    process, drawn = make("linear"), []

    def fresh(number: int) -> torch.Tensor:
        drawn.append(number)
        return images(0.5)

    solve(by("ancestral", 5), process, gaussian_denoiser(process), images(1.0), fresh)
    assert drawn == [0, 1, 2, 3]
    drawn.clear()
    solve(by("ddim", 5, 0.2), process, gaussian_denoiser(process), images(1.0), fresh)
    assert drawn == [0, 1, 2, 3]
    drawn.clear()
    solve(by("ddim", 5), process, gaussian_denoiser(process), images(1.0), fresh)
    assert drawn == []


@pytest.mark.parametrize(
    "call",
    [
        lambda p, d: solve(by("ancestral", 5), p, d, images(1.0)),
        lambda p, d: solve(by("ddim", 5, 0.5), p, d, images(1.0)),
        lambda p, d: solve(by("ancestral", 5), p, d, images(1.0), lambda number: images(1.0)),  # no fraction
    ],
)
def test_what_a_solver_needs_must_be_there(call: Callable[[Process, Denoise], torch.Tensor]) -> None:
    process = make("linear", "learned")
    with pytest.raises(ValueError, match=r"hand over|fraction"):
        call(process, gaussian_denoiser(process))
