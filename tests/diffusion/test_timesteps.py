"""Samplers of t: their probabilities, weights and states."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm
from tests.diffusion.processes import make_process

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.options import Schedule, TimestepSampling
from echosynth.diffusion.timesteps import (
    TIMESTEP_SAMPLERS,
    LossSecondMomentTimesteps,
    NoiseLevelTimesteps,
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
    t, weights = TIMESTEP_SAMPLERS["uniform"](make_process("cosine", 10, "v")).draw(10_000, seeded())
    counts = torch.bincount(t, minlength=10)
    assert (counts - 1000).abs().max() < 150
    assert torch.equal(weights, torch.ones(10_000))
    assert torch.equal(t, torch.randint(10, (10_000,), generator=seeded()))


def test_logit_normal_is_that_of_the_place_on_the_straight_path() -> None:
    """Esser et al. 2024, section 3.1, with m = 0 and s = 1: logit(u) is normal; the steps of the schedule are u = 1/T
    ... 1."""
    t, weights = TIMESTEP_SAMPLERS["logit-normal"](make_process("flow", 1000, "flow")).draw(4000, seeded())
    assert torch.equal(weights, torch.ones(4000))
    u = (t.numpy() + 1) / 1000
    # Within a step of the path anything is as good: spread the draws over it, or many are alike.
    u = u + np.random.default_rng(0).uniform(-0.5, 0.5, 4000) / 1000
    assert kstest(u, lambda x: norm.cdf(np.log(x / (1 - x)))).pvalue > 0.01


@pytest.mark.parametrize("schedule", ["linear", "cosine", "flow"])
def test_log_normal_is_edm_s_distribution_of_noise_levels_on_any_schedule(schedule: Schedule) -> None:
    """Karras et al. 2022, table 1: ln sigma ~ N(-1.2, 1.2^2), where sigma is that of x_0 + sigma eps."""
    process = make_process(schedule, 4000, "edm")
    t, weights = TIMESTEP_SAMPLERS["log-normal"](process).draw(20_000, seeded())
    assert torch.equal(weights, torch.ones(20_000))
    levels = process.sigma[t.numpy()] / process.alpha[t.numpy()]
    for level in (0.05, 0.1, 0.3, 1, 3):
        assert (levels < level).mean() == pytest.approx(norm.cdf(np.log(level), -1.2, 1.2), abs=0.015)


def test_a_last_step_without_signal_is_not_drawn() -> None:
    process = make_process("cosine", 20, "edm", zero_terminal_snr=True)
    p = NoiseLevelTimesteps(process.log_snr, 0.0, 1.0).probabilities
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    assert p[-1] == 0
    assert (p[:-1] > 0).all()


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
    process = make_process("cosine", 10, "v")
    with pytest.raises(EchosynthError, match=r"diffusion\.timesteps"):
        TIMESTEP_SAMPLERS[now](process).load(TIMESTEP_SAMPLERS[saved](process).state())


def test_the_state_for_another_number_of_steps_is_refused() -> None:
    with pytest.raises(EchosynthError, match=r"diffusion\.timesteps"):
        LossSecondMomentTimesteps(10).load(LossSecondMomentTimesteps(20).state())


def test_the_uniform_sampler_has_nothing_to_save() -> None:
    sampler = UniformTimesteps(10)
    sampler.update(torch.tensor([1]), torch.tensor([2.0]))
    assert sampler.state() == {}
    sampler.load({})
