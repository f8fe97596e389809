"""From noise to images: five solvers over one respaced grid of integer steps.

All of them ask a `Denoise` function for E[x_0 | x_t] at the steps of `respace.grid` and end on its last estimate, which
is the exact step to sigma = 0 of each. Scalars are computed in float64 and images keep the type of the noise. With zero
terminal SNR (alpha = 0 and log SNR = -inf at T-1) the first step is the limit of the general one and stays finite.

Notation: x_t = alpha x_0 + sigma eps; lambda = log(alpha / sigma); a dash marks the values at the following step.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch

from echosynth.common.errors import EchosynthError
from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.diffusion.process import Process
from echosynth.diffusion.respace import Posterior, Steps, grid, respaced_posterior

Solver = Literal["ancestral", "ddim", "dpm++", "unipc", "heun"]
Tensor = torch.Tensor
LARGEST_LEVEL = 1e8  # stands for sigma / alpha = infinity where a scheduler needs a finite one


class Estimate(NamedTuple):
    """What the network says at one step.

    Attributes:
        x0: (B, C, H, W), E[x_0 | x_t].
        fraction: same shape, where the variance is learned: where the log variance of the reverse step lies between
            the posterior variance (0) and beta (1). None otherwise.
    """

    x0: Tensor
    fraction: Tensor | None = None


Denoise = Callable[[Tensor, int], Estimate]  # (x_t, t)
Fresh = Callable[[int], Tensor]  # index in the grid -> standard normal noise like x_t


def solver_grid(solver: Solver, process: Process, evaluations: int) -> Steps:
    """Steps (N,) that the solver visits, from T-1 down to 0, when the network may be evaluated `evaluations` times.

    Raises:
        EchosynthError: no such solver, or no evaluation.
    """
    if solver not in get_args(Solver):
        raise EchosynthError(f"sample.solver = {solver} is not known: use one of {', '.join(get_args(Solver))}")
    if evaluations < 1:
        raise EchosynthError(f"sample.evaluations = {evaluations} must be 1 or more")
    points = (evaluations + 1) // 2 if solver == "heun" else evaluations  # two evaluations a step, one for the last
    return grid(process, points, "even" if solver == "ancestral" else "quadratic")


def network_evaluations(solver: Solver, process: Process, evaluations: int) -> int:
    """How often `solve` calls `denoise` (without guidance, as often as the network runs): never more than
    `evaluations`.

    Raises:
        EchosynthError: no such solver, or no evaluation.
    """
    points = len(solver_grid(solver, process, evaluations))
    return 2 * points - 1 if solver == "heun" else points


def solve(
    solver: Solver,
    process: Process,
    denoise: Denoise,
    noise: Tensor,
    evaluations: int,
    eta: float = 0.0,
    fresh: Fresh | None = None,
) -> Tensor:
    """Carry pure noise to an image.

    Args:
        solver: `ancestral` (Ho et al. 2020, algorithm 2, with the variance of `process.variance`), `ddim` (Song et al.
            2021), `dpm++` (DPM-Solver++ 2M, Lu et al. 2022b), `unipc` (UniPC-2, Zhao et al. 2023) or `heun` (Karras et
            al. 2022).
        process: the noise schedule.
        denoise: (x_t, t) -> `Estimate`.
        noise: (B, C, H, W) standard normal: x at t = T-1.
        evaluations: most calls of `denoise`, see `network_evaluations`.
        eta: share of ancestral sampling's noise in DDIM, 0 (none) to 1.
        fresh: for stochastic solvers: index in the grid -> standard normal noise like `noise`.

    Returns:
        (B, C, H, W): the last estimate of x_0.

    Raises:
        EchosynthError: a parameter that does not fit.
        ValueError: `fresh`, or the estimate's fraction, is needed and missing.
    """
    steps = solver_grid(solver, process, evaluations)
    if not 0 <= eta <= 1:
        raise EchosynthError(f"sample.eta = {eta} must lie between 0 and 1")
    if eta and solver != "ddim":
        raise EchosynthError(
            f"sample.eta = {eta} has a meaning for sample.solver = ddim only: set it to 0 for {solver}"
        )
    if solver == "ancestral":
        return _ancestral(process, steps, denoise, noise, fresh or _no_noise)
    if solver == "ddim":
        return _ddim(process, steps, denoise, noise, eta, fresh or _no_noise)
    return {"dpm++": _dpm_solver_pp, "unipc": _unipc, "heun": _heun}[solver](process, steps, denoise, noise)


def _no_noise(index: int) -> Tensor:
    raise ValueError("this solver draws noise on its way: hand over `fresh`")


def _ancestral(process: Process, steps: Steps, denoise: Denoise, x: Tensor, fresh: Fresh) -> Tensor:
    """Draw from p(x_{i-1} | x_i) of the respaced process (Ho et al. 2020, algorithm 2; Nichol & Dhariwal 2021,
    section 4)."""
    posterior = respaced_posterior(process, steps)
    for index, t in enumerate(steps[:-1]):
        estimate = denoise(x, int(t))
        mean = float(posterior.of_x0[index]) * estimate.x0 + float(posterior.of_xt[index]) * x
        x = mean + _spread(process, posterior, index, estimate) * fresh(index)
    return denoise(x, int(steps[-1])).x0


def _spread(process: Process, posterior: Posterior, index: int, estimate: Estimate) -> Tensor | float:
    """Standard deviation of a reverse step. Learned: log-linear between the two fixed ones (Nichol & Dhariwal 2021,
    eq. 15)."""
    small, large = float(posterior.small[index]), float(posterior.large[index])
    if process.variance == "fixed-small":
        return small**0.5
    if process.variance == "fixed-large":
        return large**0.5
    if estimate.fraction is None:
        raise ValueError("the variance is learned: the estimate must hold its fraction")
    low, high = float(np.log(small)), float(np.log(large))
    return torch.exp(0.5 * (low + (high - low) * estimate.fraction))


def _ddim(process: Process, steps: Steps, denoise: Denoise, x: Tensor, eta: float, fresh: Fresh) -> Tensor:
    """Song et al. 2021, eq. 12, with the noise of eq. 16."""
    for index, (t, following) in enumerate(pairwise(steps)):
        x0 = denoise(x, int(t)).x0
        alpha, sigma = float(process.alpha[t]), float(process.sigma[t])
        alpha_, sigma_ = float(process.alpha[following]), float(process.sigma[following])
        drawn = eta * sigma_ / sigma * (1 - (alpha / alpha_) ** 2) ** 0.5
        x = alpha_ * x0 + max(0.0, sigma_**2 - drawn**2) ** 0.5 * ((x - alpha * x0) / sigma)
        if drawn > 0:
            x = x + drawn * fresh(index)
    return denoise(x, int(steps[-1])).x0


def _first_order(process: Process, t: int, following: int, x: Tensor, x0: Tensor) -> Tensor:
    """The exact step for an estimate that does not change on the way (DDIM with eta = 0; Lu et al. 2022b, eq. 9; Euler
    on the EDM form). From lambda = -inf it is sigma' x + alpha' x0."""
    h = process.log_snr[following] - process.log_snr[t]
    return float(process.sigma[following] / process.sigma[t]) * x - float(process.alpha[following] * np.expm1(-h)) * x0


def _dpm_solver_pp(process: Process, steps: Steps, denoise: Denoise, x: Tensor) -> Tensor:
    """DPM-Solver++ (2M) (Lu et al. 2022b, algorithm 2).

    Its first step is of first order. Where it stays long however fine the grid is (cosine and sigmoid schedules, zero
    terminal SNR) so may the error: `_unipc` and `_heun` correct it.
    """
    lambdas = process.log_snr[steps]
    older: Tensor | None = None
    for index, (t, following) in enumerate(pairwise(steps)):
        x0 = direction = denoise(x, int(t)).x0
        if older is not None and index + 2 < len(steps):  # the step before last is of first order, for stability
            ratio = (lambdas[index] - lambdas[index - 1]) / (lambdas[index + 1] - lambdas[index])
            direction = x0 + (x0 - older) / (2 * ratio)
        x = _first_order(process, t, following, x, direction)
        older = x0
    return denoise(x, int(steps[-1])).x0


def _heun(process: Process, steps: Steps, denoise: Denoise, x: Tensor) -> Tensor:
    """Karras et al. 2022, algorithm 1 without churn, written for x instead of x / alpha so that it stays finite.

    With D and D' the estimates at both ends, an Euler step from level s = sigma / alpha to s' is `_first_order`, and
    Heun's correction of it (the trapezoid rule in s) is alpha' (s / s' - 1) / 2 (D' - D). Where s > 2 s' that factor
    is held at 1/2, the mean of both estimates, which is its right value for a step from s = infinity: left to grow, it
    reaches 3000 in the first step of the cosine schedule, and the images explode.
    """
    for t, following in pairwise(steps):
        x0 = denoise(x, int(t)).x0
        x = _first_order(process, t, following, x, x0)
        growth = float(np.exp(process.log_snr[following] - process.log_snr[t]))
        weight = float(process.alpha[following]) * min(growth - 1, 1.0) / 2
        x = x + weight * (denoise(x, int(following)).x0 - x0)
    return denoise(x, int(steps[-1])).x0


def _unipc(process: Process, steps: Steps, denoise: Denoise, x: Tensor) -> Tensor:
    """UniPC-2, B(h) = exp(h) - 1, predicting x_0 (Zhao et al. 2023), by diffusers' scheduler.

    Its first step is corrected too, which matters where that step is long: with a sigmoid schedule it makes the
    difference between the second order and the first.
    """
    if len(steps) > 1:
        _torchvision.make_importable()
        from diffusers.schedulers import UniPCMultistepScheduler

        scheduler = UniPCMultistepScheduler(
            num_train_timesteps=len(steps) - 1,
            prediction_type="sample",
            solver_order=2,
            solver_type="bh2",
            lower_order_final=True,
            timestep_spacing="trailing",  # N-1 of N-1 steps: each one once
        )
        scheduler.set_timesteps(len(steps) - 1)
        # It can choose among its own float32 levels only: hand it the grid's, from which it derives all the rest.
        levels = np.exp(-process.log_snr[steps])
        scheduler.sigmas = torch.from_numpy(np.minimum(levels, LARGEST_LEVEL))
        for own, t in zip(scheduler.timesteps, steps, strict=False):
            x = scheduler.step(denoise(x, int(t)).x0, own, x).prev_sample
    return denoise(x, int(steps[-1])).x0
