"""Which steps t a training looks at, and what their losses weigh."""

from collections.abc import Callable
from typing import Protocol

import torch

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.forward import ForwardProcess
from echosynth.diffusion.options import TimestepSampling
from echosynth.diffusion.schedules import Table

SamplerState = dict[str, torch.Tensor]


class TimestepSampler(Protocol):
    """A distribution over the steps 0 ... T-1."""

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw steps (count,) int64 and their weights (count,) float32, both on the CPU, from a CPU generator.

        The mean of weight times loss estimates the mean loss over uniform t, but for `NoiseLevelTimesteps`.
        """

    def update(self, t: torch.Tensor, losses: torch.Tensor) -> None:
        """Learn from the losses (B,) before weighting that the steps t (B,) gave. Of several processes each must be
        told the losses of all, in the same order, so that they go on alike."""

    def state(self) -> SamplerState:
        """Copy all that `load` needs to go on exactly from here."""

    def load(self, state: SamplerState) -> None:
        """Take over what `state` gave.

        Raises:
            EchosynthError: it is the state of another sampler.
        """


class FixedTimesteps:
    """What samplers share that learn nothing from losses."""

    def update(self, t: torch.Tensor, losses: torch.Tensor) -> None:
        """Learn nothing."""

    def state(self) -> SamplerState:
        """See `TimestepSampler.state`."""
        return {}

    def load(self, state: SamplerState) -> None:
        """See `TimestepSampler.load`."""
        _check_state(state, self.state())


class UniformTimesteps(FixedTimesteps):
    """Every step alike.

    Args:
        timesteps: T.
    """

    def __init__(self, timesteps: int) -> None:
        self.timesteps = timesteps

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """See `TimestepSampler.draw`; the weights are 1."""
        return torch.randint(self.timesteps, (count,), generator=generator), torch.ones(count)


class NoiseLevelTimesteps(FixedTimesteps):
    """Steps whose noise level is log-normal: log(sigma / alpha) is normal, and the step nearest to it in that logarithm
    is taken.

    This is EDM's distribution of noise levels (Karras et al. 2022, table 1: mean -1.2, deviation 1.2). On the straight
    path (1 - s) x_0 + s eps the logit of s is log(sigma / alpha), so that it is the logit-normal distribution of s of
    rectified flows too (Esser et al. 2024, section 3.1: mean 0, deviation 1). Both papers mean some noise levels to
    count more: the weights are 1, and the mean loss is no longer that over uniform t. A last step without any signal,
    infinitely far from the others, is never drawn.

    Args:
        log_snr: (T,) log(alpha / sigma), falling; -inf at the last step without any signal.
        mean: of log(sigma / alpha).
        deviation: its standard deviation, above 0.
    """

    def __init__(self, log_snr: Table, mean: float, deviation: float) -> None:
        edges = torch.from_numpy(-(log_snr[1:] + log_snr[:-1]) / 2)
        below = torch.special.ndtr((edges - mean) / deviation)
        self.probabilities = torch.cat([below, below.new_ones(1)]) - torch.cat([below.new_zeros(1), below])

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """See `TimestepSampler.draw`; the weights are 1."""
        return torch.multinomial(self.probabilities, count, replacement=True, generator=generator), torch.ones(count)


class LossSecondMomentTimesteps:
    """Steps in proportion to the root mean square of their last losses, which makes the variance of the weighted loss
    smallest (Nichol & Dhariwal 2021, section 3.3 and eq. 18).

    Uniform until every step has a full history: with T = 1,000 and 10 losses a step that takes about 24,000
    draws. Meant for the loss `variational`, whose terms differ by orders of magnitude.

    Args:
        timesteps: T.
        history: losses remembered for each step.
        uniform_share: share of the draws that stays uniform, so that no step is ever forgotten.
    """

    def __init__(self, timesteps: int, history: int = 10, uniform_share: float = 0.001) -> None:
        self.timesteps = timesteps
        self.uniform_share = uniform_share
        self._losses = torch.zeros(timesteps, history, dtype=torch.float64)
        self._counts = torch.zeros(timesteps, dtype=torch.int64)

    def probabilities(self) -> torch.Tensor:
        """Compute the probability of each step, (T,) float64."""
        uniform = torch.full((self.timesteps,), 1 / self.timesteps, dtype=torch.float64)
        root = self._losses.square().mean(1).sqrt()
        if self._counts.min() < self._losses.shape[1] or root.sum() == 0:
            return uniform
        return (1 - self.uniform_share) * root / root.sum() + self.uniform_share * uniform

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """See `TimestepSampler.draw`; the weights are 1 / (T p)."""
        p = self.probabilities()
        t = torch.multinomial(p, count, replacement=True, generator=generator)
        return t, (1 / (self.timesteps * p[t])).float()

    def update(self, t: torch.Tensor, losses: torch.Tensor) -> None:
        """See `TimestepSampler.update`."""
        history = self._losses.shape[1]
        for step, loss in zip(t.tolist(), losses.detach().double().tolist(), strict=True):
            self._losses[step, self._counts[step] % history] = loss  # over the oldest
            self._counts[step] += 1

    def state(self) -> SamplerState:
        """See `TimestepSampler.state`: losses (T, history) float64 and how many each step has seen, (T,) int64."""
        return {"losses": self._losses.clone(), "counts": self._counts.clone()}

    def load(self, state: SamplerState) -> None:
        """See `TimestepSampler.load`."""
        _check_state(state, self.state())
        self._losses.copy_(state["losses"])
        self._counts.copy_(state["counts"])


def _check_state(state: SamplerState, own: SamplerState) -> None:
    if {name: tensor.shape for name, tensor in state.items()} != {name: tensor.shape for name, tensor in own.items()}:
        raise EchosynthError(
            "the saved state of the sampler of time steps does not fit diffusion.timestep_sampling and "
            "diffusion.timesteps: it was saved with other values, start the training anew"
        )


TIMESTEP_SAMPLERS: dict[TimestepSampling, Callable[[ForwardProcess], TimestepSampler]] = {
    "uniform": lambda process: UniformTimesteps(process.timesteps),
    "loss-second-moment": lambda process: LossSecondMomentTimesteps(process.timesteps),
    "logit-normal": lambda process: NoiseLevelTimesteps(process.log_snr, 0.0, 1.0),
    "log-normal": lambda process: NoiseLevelTimesteps(process.log_snr, -1.2, 1.2),
}
