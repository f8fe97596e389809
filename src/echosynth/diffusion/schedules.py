"""Noise schedules: the variances beta of the steps of the forward process, in float64."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from echosynth.diffusion.options import Schedule

Table = npt.NDArray[np.float64]
MAX_BETA = 0.999  # the ratio of the last two alpha_bar is 0 by the formulas (Nichol & Dhariwal 2021, section 3.2)


def _linear(timesteps: int) -> Table:
    """Rise as Ho et al. 2020, section 4; the range scaled by 1000 / T, as in Nichol & Dhariwal 2021, keeps the end of
    the chain near pure noise for any T."""
    scale = 1000 / timesteps
    return np.linspace(scale * 1e-4, scale * 0.02, timesteps, dtype=np.float64).clip(max=MAX_BETA)


def _scaled_linear(timesteps: int) -> Table:
    """Rise linearly in the root of beta, from 0.002 to 0.02 (Medfusion: Müller-Franzes et al. 2023; Rombach et al. 2022
    with other ends); the range scaled by 1000 / T, as above."""
    scale = 1000 / timesteps
    roots = np.linspace(math.sqrt(scale * 0.002), math.sqrt(scale * 0.02), timesteps, dtype=np.float64)
    return (roots**2).clip(max=MAX_BETA)


def _from_alpha_bar(bar: Table) -> Table:
    """Find betas (T,) whose running product of 1 - beta follows bar (T + 1,), bar[0] standing for the image itself."""
    return np.minimum(1 - bar[1:] / bar[:-1], MAX_BETA)


def _cosine(timesteps: int) -> Table:
    """Follow Nichol & Dhariwal 2021, eq. 17, with s = 0.008."""
    steps = np.arange(timesteps + 1, dtype=np.float64) / timesteps
    return _from_alpha_bar(np.cos((steps + 0.008) / 1.008 * math.pi / 2) ** 2)


def _sigmoid(timesteps: int) -> Table:
    """Follow Jabri et al. 2022 and Chen 2023 (algorithm 1) with start -3, end 3 and tau 1."""
    steps = np.arange(timesteps + 1, dtype=np.float64) / timesteps
    falling = 1 / (1 + np.exp(6 * steps - 3))
    return _from_alpha_bar((falling - falling[-1]) / (falling[0] - falling[-1]))


def _flow(timesteps: int) -> Table:
    """Follow the straight path (1 - s) x_0 + s eps for s = 1/T ... 1 (Liu et al. 2023; Lipman et al. 2023, section
    4.1), divided by its norm sqrt((1 - s)^2 + s^2) so that the variance is preserved."""
    s = np.arange(timesteps + 1, dtype=np.float64) / timesteps
    return _from_alpha_bar((1 - s) ** 2 / ((1 - s) ** 2 + s**2))


def _zero_terminal_snr(table: Table) -> Table:
    """Rescale by Lin et al. 2023, algorithm 1: shift and scale sqrt(alpha_bar) so that its last value is 0 and its
    first one stays."""
    root = np.sqrt(np.cumprod(1 - table))
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    bar = root**2
    return 1 - np.append(bar[0], bar[1:] / bar[:-1])


SCHEDULES: dict[Schedule, Callable[[int], Table]] = {
    "linear": _linear,
    "scaled-linear": _scaled_linear,
    "cosine": _cosine,
    "sigmoid": _sigmoid,
    "flow": _flow,
}


def betas(schedule: Schedule, timesteps: int, zero_terminal_snr: bool) -> Table:
    """Compute the variances of the forward steps.

    Args:
        schedule: `linear` (Ho et al. 2020), `scaled-linear` (Medfusion), `cosine` (Nichol & Dhariwal 2021, eq. 17),
            `sigmoid` (Jabri et al. 2022) or `flow` (Liu et al. 2023).
        timesteps: T, at least 2.
        zero_terminal_snr: rescale so that nothing of the image is left at t = T-1 (Lin et al. 2023, algorithm 1).

    Returns:
        (T,) float64 in (0, 0.999]; with `zero_terminal_snr` the last one is exactly 1.
    """
    table = SCHEDULES[schedule](timesteps)
    return _zero_terminal_snr(table) if zero_terminal_snr else table
