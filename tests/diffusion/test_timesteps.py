"""Samplers of t: their probabilities, weights and states."""

import numpy as np
import pytest
import torch

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.options import TimestepSampling
from echosynth.diffusion.timesteps import (
    TIMESTEP_SAMPLERS,
    LossSecondMomentTimesteps,
    UniformTimesteps,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def warm(history: list[list[float]], **settings: float) -> LossSecondMomentTimesteps:
    """A sampler that was told these losses, `history[t]` for step t."""
    sampler = LossSecondMomentTimesteps(len(history), **settings)  # type: ignore[arg-type]
    for losses in zip(*history, strict=True):
        sampler.update(torch.arange(len(history)), torch.tensor(losses))
    return sampler


def test_uniform_draws_every_step_alike_with_weight_one() -> None:
    t, weights = TIMESTEP_SAMPLERS["uniform"](7).draw(7000, seeded())
    counts = torch.bincount(t, minlength=7)
    assert (counts - 1000).abs().max() < 150
    assert torch.equal(weights, torch.ones(7000))
    assert torch.equal(t, torch.randint(7, (7000,), generator=seeded()))


def test_uniform_until_every_step_has_its_history() -> None:
    sampler = LossSecondMomentTimesteps(3)
    sampler.update(torch.tensor([0, 1, 2]).repeat(10)[:-1], torch.arange(29.0))
    assert torch.equal(sampler.probabilities(), torch.full((3,), 1 / 3, dtype=torch.float64))
    _, weights = sampler.draw(20, seeded())
    assert torch.equal(weights, torch.ones(20))
    sampler.update(torch.tensor([2]), torch.tensor([1.0]))
    assert not torch.equal(sampler.probabilities(), torch.full((3,), 1 / 3, dtype=torch.float64))


def test_probabilities_are_root_mean_squares_of_the_last_ten_losses_with_a_uniform_share() -> None:
    """Nichol & Dhariwal 2021, eq. 18."""
    losses = np.random.default_rng(0).exponential(size=(5, 27)) * np.array([[1], [10], [0.1], [5], [0]])
    sampler = warm(losses.tolist())
    root = np.sqrt((losses[:, -10:].astype(np.float32).astype(np.float64) ** 2).mean(1))
    expected = 0.999 * root / root.sum() + 0.001 / 5
    assert np.allclose(sampler.probabilities(), expected, rtol=1e-12)


def test_steps_come_as_often_as_their_probabilities_say() -> None:
    sampler = warm([[1.0] * 10, [2.0] * 10, [7.0] * 10])
    t, _ = sampler.draw(20_000, seeded(1))
    share = np.bincount(t.numpy(), minlength=3) / 20_000
    assert np.allclose(share, sampler.probabilities(), atol=0.015)


def test_the_weighted_loss_is_unbiased_and_has_less_variance_than_uniform_draws() -> None:
    loss = torch.tensor([40.0, 3.0, 1.0, 0.5, 0.2, 0.1])
    sampler = warm([[value] * 10 for value in loss.tolist()])
    t, weights = sampler.draw(50_000, seeded(2))
    weighted = weights * loss[t]
    assert weighted.mean().item() == pytest.approx(loss.mean().item(), rel=0.01)
    assert weighted.std() < 0.1 * loss.std()
    p = sampler.probabilities()
    assert torch.allclose(weights.double(), 1 / (6 * p[t]), rtol=1e-6)


def test_equal_losses_of_zero_are_drawn_uniformly() -> None:
    p = warm([[0.0] * 10] * 4).probabilities()
    assert torch.equal(p, torch.full((4,), 0.25, dtype=torch.float64))


def test_a_state_goes_on_exactly() -> None:
    sampler = LossSecondMomentTimesteps(4)
    random = seeded(3)
    for step in range(60):
        t, _ = sampler.draw(3, random)
        sampler.update(t, torch.rand(3, generator=random))
        if step == 30:
            state, resumed = sampler.state(), LossSecondMomentTimesteps(4)
            random_state = random.get_state()
    resumed.load(state)
    random.set_state(random_state)
    for _ in range(31, 60):
        t, _ = resumed.draw(3, random)
        resumed.update(t, torch.rand(3, generator=random))
    assert all(torch.equal(resumed.state()[name], tensor) for name, tensor in sampler.state().items())
    assert torch.equal(resumed.probabilities(), sampler.probabilities())


def test_a_state_is_a_copy() -> None:
    sampler = warm([[1.0] * 10] * 2)
    state = sampler.state()
    sampler.update(torch.tensor([0]), torch.tensor([9.0]))
    assert state["losses"].max() == 1


@pytest.mark.parametrize(("saved", "now"), [("uniform", "loss-second-moment"), ("loss-second-moment", "uniform")])
def test_the_state_of_another_sampler_is_refused(saved: TimestepSampling, now: TimestepSampling) -> None:
    with pytest.raises(EchosynthError, match=r"diffusion\.timesteps"):
        TIMESTEP_SAMPLERS[now](10).load(TIMESTEP_SAMPLERS[saved](10).state())


def test_the_state_for_another_number_of_steps_is_refused() -> None:
    with pytest.raises(EchosynthError, match=r"diffusion\.timesteps"):
        LossSecondMomentTimesteps(10).load(LossSecondMomentTimesteps(20).state())


def test_the_uniform_sampler_has_nothing_to_save() -> None:
    sampler = UniformTimesteps(10)
    sampler.update(torch.tensor([1]), torch.tensor([2.0]))
    assert sampler.state() == {}
    sampler.load({})
