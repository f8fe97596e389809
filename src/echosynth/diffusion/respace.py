"""A process seen at fewer steps: which steps are kept, and the betas and posterior of the process over them."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from echosynth.diffusion.process import Process
from echosynth.diffusion.schedules import Table

Spacing = Literal["quadratic", "even"]
Steps = npt.NDArray[np.int64]


def grid(process: Process, evaluations: int, spacing: Spacing = "quadratic") -> Steps:
    """Steps at which the network is asked.

    On Gaussian data even steps in t leave a deterministic solver of second order with twice the error of quadratic ones
    at 20 evaluations, and do not reach its order. Ancestral sampling is trained on all steps alike: its are even.

    Args:
        process: the noise schedule.
        evaluations: how many, 1 or more; T or more give all T steps.
        spacing: `quadratic` (closer towards 0: Song et al. 2021, appendix D.3) or `even` (Nichol & Dhariwal 2021,
            section 4).

    Returns:
        (N,) int64 from T-1 down to 0 without repeats (T-1 alone for one evaluation). N is `evaluations`, or less where
        two quadratic steps round to the same integer.
    """
    last = process.timesteps - 1
    if evaluations > last:
        return np.arange(last, -1, -1, dtype=np.int64)
    way = np.linspace(1, 0, evaluations)
    share = way**2 if spacing == "quadratic" else way
    return np.unique((share * last).round().astype(np.int64))[::-1].copy()


def respaced_betas(process: Process, steps: Steps) -> Table:
    """Variances of the forward steps between kept steps: beta_i = 1 - alpha_bar_i / alpha_bar_{i-1} (Nichol & Dhariwal
    2021, section 4).

    Args:
        process: the noise schedule.
        steps: (N,) kept steps, descending as from `grid`.

    Returns:
        (N,) float64, in the order of `steps`; the last one leads from the clean image to the lowest kept step.
    """
    bar = process.alpha[steps] ** 2
    return 1 - bar / np.append(bar[1:], 1.0)


class Posterior(NamedTuple):
    """q(x_{i-1} | x_i, x_0) of the process over the kept steps (Ho et al. 2020, eq. 7), each (N,) float64 in the order
    of the steps.

    Attributes:
        of_x0: factor of x_0 in the mean.
        of_xt: factor of x_i in the mean.
        small: its variance, the lower bound of the reverse step's ("fixed-small"); 0 at the lowest step.
        large: beta, the upper bound ("fixed-large").
    """

    of_x0: Table
    of_xt: Table
    small: Table
    large: Table


def respaced_posterior(process: Process, steps: Steps) -> Posterior:
    """Mean and variances of the reverse steps over `steps` (N,), descending as from `grid`. With zero terminal SNR all
    of it stays finite."""
    beta = respaced_betas(process, steps)
    alpha_before = np.append(process.alpha[steps[1:]], 1.0)
    remaining = np.append(process.sigma[steps[1:]], 0.0) ** 2 / process.sigma[steps] ** 2
    return Posterior(
        of_x0=alpha_before * beta / process.sigma[steps] ** 2,
        of_xt=np.sqrt(1 - beta) * remaining,
        small=beta * remaining,
        large=beta,
    )
