"""The process against the papers' equations in float64."""

import numpy as np
import pytest
import torch

from echosynth.diffusion.process import Prediction, Process, betas


def test_linear_betas_are_those_of_the_paper() -> None:
    table = betas("linear", 1000)
    assert table[0] == pytest.approx(1e-4)
    assert table[-1] == pytest.approx(0.02)
    assert np.allclose(np.diff(table), (0.02 - 1e-4) / 999)


def test_cosine_schedule_has_the_closed_form_alpha_bar() -> None:
    process = Process("cosine", 1000, "v")
    t = np.arange(1, 1001) / 1000
    closed = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert np.allclose(process.alpha[:-2] ** 2, closed[:-2], rtol=1e-9)  # the last betas are clipped


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_one_jump_equals_many_steps(schedule: str) -> None:
    """q(x_t | x_0) is the composition of the single steps (Ho et al. 2020, eq. 2): checked on mean and variance."""
    process = Process(schedule, 50, "epsilon")  # type: ignore[arg-type]
    mean, variance = 1.0, 0.0
    for t, beta in enumerate(betas(schedule, 50)):  # type: ignore[arg-type]
        mean, variance = mean * np.sqrt(1 - beta), variance * (1 - beta) + beta
        assert process.alpha[t] == pytest.approx(mean)
        assert process.sigma[t] ** 2 == pytest.approx(variance)


def test_noised_uses_the_tables_by_image() -> None:
    process = Process("cosine", 100, "v")
    x0, noise = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64), torch.full((2, 1, 4, 4), -2.0, dtype=torch.float64)
    noised = process.noised(x0, torch.tensor([3, 90]), noise)
    for row, t in enumerate((3, 90)):
        assert noised[row, 0, 0, 0].item() == pytest.approx(0.5 * process.alpha[t] - 2 * process.sigma[t], rel=1e-12)


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_the_true_target_gives_back_the_image(prediction: Prediction) -> None:
    process = Process("cosine", 1000, prediction)
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(6, 1, 4, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(6, 1, 4, 4, generator=generator, dtype=torch.float64)
    t = torch.tensor([0, 1, 250, 500, 900, 990])
    xt = process.noised(x0, t, noise)
    assert torch.allclose(process.to_x0(process.target(x0, t, noise), xt, t), x0, atol=1e-9)


def test_min_snr_weights_agree_across_predictions() -> None:
    """The same wrong estimate of the image costs the same, whatever the network predicts: min(SNR, gamma) |x0
    error|^2."""
    t = torch.tensor([5, 300, 700, 990])
    generator = torch.Generator().manual_seed(1)
    x0, noise, error = (torch.randn(4, 1, 2, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    losses = []
    for prediction in ("epsilon", "x0", "v"):
        process = Process("cosine", 1000, prediction, min_snr_gamma=5.0)  # type: ignore[arg-type]
        alpha = torch.from_numpy(process.alpha)[t].view(-1, 1, 1, 1)
        sigma = torch.from_numpy(process.sigma)[t].view(-1, 1, 1, 1)
        wrong = {
            "epsilon": noise - alpha / sigma * error,
            "x0": x0 + error,
            "v": alpha * noise - sigma * x0 - error / sigma,
        }

        class Fixed(torch.nn.Module):
            def forward(
                self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor, out: torch.Tensor = wrong[prediction]
            ) -> torch.Tensor:
                return out

        losses.append(process.losses(Fixed(), x0, torch.zeros(4, dtype=torch.long), t, noise))
    snr = (process.alpha / process.sigma)[t.numpy()] ** 2
    reference = np.minimum(snr, 5.0) * error.square().flatten(1).mean(1).numpy()
    for loss in losses:
        assert np.allclose(loss.numpy(), reference, rtol=1e-3)


def test_without_gamma_the_loss_is_the_plain_squared_error() -> None:
    process = Process("linear", 10, "epsilon")
    assert torch.equal(process.weight(torch.arange(10)), torch.ones(10))
