"""From noise to images: five solvers of the reverse process, over the same kept steps.

All of them ask a `Denoise` function for E[x_0 | x_t] at the kept steps and end on its last estimate, which is the exact
step to sigma = 0 of each. Scalars are computed in float64 and images keep the type of the noise. With zero terminal SNR
(alpha = 0 and log SNR = -inf at T-1) the first step is the limit of the general one and stays finite.

Notation: x_t = alpha x_0 + sigma eps; lambda = log(alpha / sigma); a dash marks the values after a step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from echosynth.compute import torchvision_schemas as _torchvision
from echosynth.diffusion.options import Solver, SolverParams, Variance
from echosynth.diffusion.process import Estimate, Process
from echosynth.diffusion.respace import SpacedProcess, Spacing, space_timesteps

Tensor = torch.Tensor
Denoise = Callable[[Tensor, int], Estimate]  # (x_t, t)
FreshNoise = Callable[[int], Tensor]  # number of the step, from 0 -> standard normal noise like x_t
LARGEST_LEVEL = 1e8  # stands for sigma / alpha = infinity where a scheduler needs a finite one


@dataclass(frozen=True)
class ReverseWalk:
    """The way from noise to images that a solver takes, over kept steps i = N-1 ... 0.

    Attributes:
        process: over the kept steps.
        denoise: (x_i, i) -> `Estimate`.
        fresh: number n of the step from N-1-n to the one below -> standard normal noise.
        variance: of the reverse steps of ancestral sampling.
        eta: share of ancestral sampling's noise in DDIM.
    """

    process: SpacedProcess
    denoise: Denoise
    fresh: FreshNoise
    variance: Variance
    eta: float

    @property
    def last(self) -> int:
        """The noisiest of the kept steps, N-1."""
        return self.process.timesteps - 1


def kept_steps(options: SolverParams, process: Process) -> SpacedProcess:
    """Choose the steps that a solver visits when the network may be evaluated `options.evaluations` times."""
    solver, evaluations = options.solver, options.evaluations
    points = (evaluations + 1) // 2 if solver == "heun" else evaluations  # two evaluations a step, one for the last
    spacing: Spacing = "even" if solver == "ancestral" else "quadratic"
    return SpacedProcess(process, space_timesteps(process.timesteps, points, spacing))


def network_evaluations(options: SolverParams, process: Process) -> int:
    """Count how often `solve` calls `denoise` (without guidance, as often as the network runs): never more often than
    `options.evaluations`."""
    points = kept_steps(options, process).timesteps
    return 2 * points - 1 if options.solver == "heun" else points


def solve(
    options: SolverParams, process: Process, denoise: Denoise, noise: Tensor, fresh: FreshNoise | None = None
) -> Tensor:
    """Carry pure noise to an image.

    Args:
        options: of it `solver`: `ancestral` (Ho et al. 2020, algorithm 2, with the variance of the process), `ddim`
            (Song et al. 2021), `dpm++` (DPM-Solver++ 2M, Lu et al. 2022b), `unipc` (UniPC-2, Zhao et al. 2023) or
            `heun` (Karras et al. 2022); `evaluations`, the most calls of `denoise`; and `eta` of DDIM. Guidance is a
            matter of `denoise`.
        process: the noise schedule.
        denoise: (x_t, t) -> `Estimate`.
        noise: (B, C, H, W) standard normal: x at t = T-1.
        fresh: for stochastic solvers: number of the step, from 0 -> standard normal noise like `noise`.

    Returns:
        (B, C, H, W): the last estimate of x_0.

    Raises:
        ValueError: `fresh`, or the estimate's fraction, is needed and missing.
    """
    spaced = kept_steps(options, process)

    def denoise_kept(x: Tensor, i: int) -> Estimate:
        return denoise(x, int(spaced.timestep_map[i]))

    walk = ReverseWalk(spaced, denoise_kept, fresh or _no_noise, process.variance, options.eta)
    return SOLVERS[options.solver](walk, noise)


def _no_noise(number: int) -> Tensor:
    raise ValueError("this solver draws noise on its way: hand over `fresh`")


def _ancestral(walk: ReverseWalk, x: Tensor) -> Tensor:
    """Draw from p(x_{i-1} | x_i) of the spaced process (Ho et al. 2020, algorithm 2; Nichol & Dhariwal 2021,
    section 4)."""
    for number, i in enumerate(range(walk.last, 0, -1)):
        estimate = walk.denoise(x, i)
        t = torch.full((len(x),), i, device=x.device)
        mean = walk.process.q_posterior_mean_variance(estimate.x0, x, t).mean
        x = mean + _standard_deviation(walk, i, estimate) * walk.fresh(number)
    return walk.denoise(x, 0).x0


def _standard_deviation(walk: ReverseWalk, i: int, estimate: Estimate) -> Tensor | float:
    """Compute the standard deviation of the reverse step from i. Learned: log-linear between the two fixed ones (Nichol
    & Dhariwal 2021, eq. 15)."""
    small, large = float(walk.process.posterior_variance[i]), float(walk.process.betas[i])
    if walk.variance == "fixed-small":
        return small**0.5
    if walk.variance == "fixed-large":
        return large**0.5
    if estimate.fraction is None:
        raise ValueError("the variance is learned: the estimate must hold its fraction")
    low, high = float(np.log(small)), float(np.log(large))
    return torch.exp(0.5 * (low + (high - low) * estimate.fraction))


def predict_eps(x0: Tensor, xt: Tensor, alpha: float, sigma: float) -> Tensor:
    """Compute the noise in x_t = alpha x_0 + sigma eps."""
    return (xt - alpha * x0) / sigma


def _ddim(walk: ReverseWalk, x: Tensor) -> Tensor:
    """Walk by DDIM (Song et al. 2021, eq. 12, with the noise of eq. 16)."""
    alphas, sigmas = walk.process.alpha, walk.process.sigma
    for number, i in enumerate(range(walk.last, 0, -1)):
        x0 = walk.denoise(x, i).x0
        alpha, sigma, alpha_, sigma_ = map(float, (alphas[i], sigmas[i], alphas[i - 1], sigmas[i - 1]))
        drawn = walk.eta * sigma_ / sigma * (1 - (alpha / alpha_) ** 2) ** 0.5
        x = alpha_ * x0 + max(0.0, sigma_**2 - drawn**2) ** 0.5 * predict_eps(x0, x, alpha, sigma)
        if drawn > 0:
            x = x + drawn * walk.fresh(number)
    return walk.denoise(x, 0).x0


def _first_order(process: SpacedProcess, i: int, x: Tensor, x0: Tensor) -> Tensor:
    """Take the exact step from i for an estimate that does not change on the way (DDIM with eta = 0; Lu et al. 2022b,
    eq. 9; Euler on the EDM form). From lambda = -inf it is sigma' x + alpha' x0."""
    h = process.log_snr[i - 1] - process.log_snr[i]
    return float(process.sigma[i - 1] / process.sigma[i]) * x - float(process.alpha[i - 1] * np.expm1(-h)) * x0


def _dpm_solver_pp(walk: ReverseWalk, x: Tensor) -> Tensor:
    """Walk by DPM-Solver++ (2M) (Lu et al. 2022b, algorithm 2).

    Its first step is of first order. Where it stays long however many steps are kept (cosine and sigmoid schedules,
    zero terminal SNR) so may the error: `_unipc` and `_heun` correct it.
    """
    lambdas = walk.process.log_snr
    older: Tensor | None = None
    for i in range(walk.last, 0, -1):
        x0 = direction = walk.denoise(x, i).x0
        if older is not None and i > 1:  # the step before last is of first order, for stability
            ratio = (lambdas[i] - lambdas[i + 1]) / (lambdas[i - 1] - lambdas[i])
            direction = x0 + (x0 - older) / (2 * ratio)
        x = _first_order(walk.process, i, x, direction)
        older = x0
    return walk.denoise(x, 0).x0


def _heun(walk: ReverseWalk, x: Tensor) -> Tensor:
    """Walk by Karras et al. 2022, algorithm 1 without churn, written for x instead of x / alpha: so it stays finite.

    With D and D' the estimates at both ends, an Euler step from level s = sigma / alpha to s' is `_first_order`, and
    Heun's correction of it (the trapezoid rule in s) is alpha' (s / s' - 1) / 2 (D' - D). Where s > 2 s' that factor
    is held at 1/2, the mean of both estimates, which is its right value for a step from s = infinity: left to grow, it
    reaches 3000 in the first step of the cosine schedule, and the images explode.
    """
    process = walk.process
    for i in range(walk.last, 0, -1):
        x0 = walk.denoise(x, i).x0
        x = _first_order(process, i, x, x0)
        growth = float(np.exp(process.log_snr[i - 1] - process.log_snr[i]))
        weight = float(process.alpha[i - 1]) * min(growth - 1, 1.0) / 2
        x = x + weight * (walk.denoise(x, i - 1).x0 - x0)
    return walk.denoise(x, 0).x0


def _unipc(walk: ReverseWalk, x: Tensor) -> Tensor:
    """Walk by UniPC-2, B(h) = exp(h) - 1, predicting x_0 (Zhao et al. 2023), by diffusers' scheduler.

    Its first step is corrected too, which matters where that step is long: with a sigmoid schedule it makes the
    difference between the second order and the first.
    """
    if walk.last:
        _torchvision.make_importable()
        from diffusers.schedulers import UniPCMultistepScheduler

        scheduler = UniPCMultistepScheduler(
            num_train_timesteps=walk.last,
            prediction_type="sample",
            solver_order=2,
            solver_type="bh2",
            lower_order_final=True,
            timestep_spacing="trailing",  # N-1 of N-1 steps: each one once
        )
        scheduler.set_timesteps(walk.last)
        # It can choose among its own float32 levels only: hand it ours, from which it derives all the rest.
        levels = np.exp(-walk.process.log_snr[::-1])
        scheduler.sigmas = torch.from_numpy(np.minimum(levels, LARGEST_LEVEL))
        for number, own in enumerate(scheduler.timesteps):
            x = scheduler.step(walk.denoise(x, walk.last - number).x0, own, x).prev_sample
    return walk.denoise(x, 0).x0


SOLVERS: dict[Solver, Callable[[ReverseWalk, Tensor], Tensor]] = {
    "ancestral": _ancestral,
    "ddim": _ddim,
    "dpm++": _dpm_solver_pp,
    "unipc": _unipc,
    "heun": _heun,
}
