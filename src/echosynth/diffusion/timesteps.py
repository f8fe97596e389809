"""Which steps t a training looks at, with the weights that keep its loss unbiased."""

from collections.abc import Callable
from typing import Protocol

import torch

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.options import TimestepSampling

SamplerState = dict[str, torch.Tensor]


class TimestepSampler(Protocol):
    """A distribution over the steps 0 ... T-1."""

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw steps (count,) int64 and their weights (count,) float32, both on the CPU, from a CPU generator.

        The mean of weight times loss estimates the mean loss over uniform t.
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


class UniformTimesteps:
    """Every step alike; nothing is learnt.

    Args:
        timesteps: T.
    """

    def __init__(self, timesteps: int) -> None:
        self.timesteps = timesteps

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """See `TimestepSampler.draw`; the weights are 1."""
        return torch.randint(self.timesteps, (count,), generator=generator), torch.ones(count)

    def update(self, t: torch.Tensor, losses: torch.Tensor) -> None:
        """Learn nothing."""

    def state(self) -> SamplerState:
        """See `TimestepSampler.state`."""
        return {}

    def load(self, state: SamplerState) -> None:
        """See `TimestepSampler.load`."""
        _check_state(state, self.state())


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


TIMESTEP_SAMPLERS: dict[TimestepSampling, Callable[[int], TimestepSampler]] = {
    "uniform": UniformTimesteps,
    "loss-second-moment": LossSecondMomentTimesteps,
}
