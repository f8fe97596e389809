"""A process seen at fewer steps (Nichol & Dhariwal 2021, section 4): which are kept, and the process over them."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from echosynth.diffusion.forward import ForwardProcess

Spacing = Literal["quadratic", "even"]
Steps = npt.NDArray[np.int64]


def space_timesteps(timesteps: int, evaluations: int, spacing: Spacing) -> Steps:
    """Choose the steps at which the network is asked.

    On Gaussian data even steps in t leave a deterministic solver of second order with twice the error of quadratic ones
    at 20 evaluations, and do not reach its order. Ancestral sampling is trained on all steps alike: its are even.

    Args:
        timesteps: T.
        evaluations: how many, 1 or more; T or more give all T steps.
        spacing: `quadratic` (closer towards 0: Song et al. 2021, appendix D.3) or `even` (Nichol & Dhariwal 2021,
            section 4).

    Returns:
        (N,) int64 from 0 up to T-1 without repeats (T-1 alone for one evaluation). N is `evaluations`, or less where
        two quadratic steps round to the same integer.
    """
    last = timesteps - 1
    if evaluations > last:
        return np.arange(timesteps, dtype=np.int64)
    way = np.linspace(1, 0, evaluations)
    share = way**2 if spacing == "quadratic" else way
    return np.unique((share * last).round().astype(np.int64))


class SpacedProcess(ForwardProcess):
    """The process that makes all kept steps in one go each, with the same noise at each of them.

    Its betas are 1 - alphas_cumprod_i / alphas_cumprod_i-1 (Nichol & Dhariwal 2021, section 4), from which its
    posterior follows as that of any process. With zero terminal SNR all of it stays finite.

    Args:
        process: over all T steps.
        kept: (N,) of them, rising.

    Attributes:
        timestep_map: (N,) step of the whole process for each of these.
    """

    def __init__(self, process: ForwardProcess, kept: Steps) -> None:
        self.timestep_map = kept
        alphas_cumprod = process.alphas_cumprod[kept]
        before = np.ones_like(alphas_cumprod)
        before[1:] = alphas_cumprod[:-1]
        super().__init__(1 - alphas_cumprod / before, alphas_cumprod)
