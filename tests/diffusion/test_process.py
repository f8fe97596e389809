"""The process against the papers' equations in float64."""

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tests.diffusion import reference
from tests.diffusion.processes import make_process

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.options import Loss, Prediction, Schedule, Variance
from echosynth.diffusion.process import Process
from echosynth.diffusion.schedules import betas

PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
WITHOUT_SIGNAL = [name for name in PREDICTIONS if name != "epsilon"]
STEPS = torch.tensor([0, 1, 2, 17, 40, 49])  # of T = 50


def answering(output: torch.Tensor) -> Callable[..., torch.Tensor]:
    """A network that knows its answer."""
    return lambda xt, t, *condition: output


def batch(count: int = 6, channels: int = 1, dtype: torch.dtype = torch.float64, seed: int = 0) -> dict[str, Any]:
    """Images of 8-bit pixels, the first and the last grey value among them, noise, and raw output of the variance."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, 4, 4)
    pixels = torch.randint(256, shape, generator=generator)
    pixels[:, :, 0, 0], pixels[:, :, 0, 1] = 0, 255
    noise, error, raw = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    parts = {"x0": pixels.double() / 127.5 - 1, "noise": noise, "error": error, "raw": raw}
    return {name: part.to(dtype) for name, part in parts.items()}


def x0_error_of(process: Process, prediction: torch.Tensor, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Estimate of the image by the reference, row by row."""
    xt = process.q_sample(x0, STEPS, noise).numpy()
    rows = [
        reference.image_of(process.prediction, prediction[row].numpy(), xt[row], *reference.marginal(process.betas, t))
        for row, t in enumerate(STEPS.tolist())
    ]
    return torch.from_numpy(np.stack(rows))


def variational(
    process: Process, data: dict[str, torch.Tensor], output: torch.Tensor, fraction: torch.Tensor | None
) -> np.ndarray:
    """The variational terms of STEPS by the reference, in bits per dimension."""
    xt = process.q_sample(data["x0"], STEPS, data["noise"]).numpy()
    x0, estimate = data["x0"].numpy(), x0_error_of(process, output, data["x0"], data["noise"]).numpy()
    terms = []
    for row, t in enumerate(STEPS.tolist()):
        share = 0.0 if fraction is None else fraction[row].numpy()
        log_variance = reference.log_variance(process.betas, t, process.variance, share)
        terms.append(reference.variational_term(process.betas, t, x0[row], xt[row], estimate[row], log_variance))
    return np.array(terms)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_jump_equals_many_steps(schedule: Schedule, zero: bool) -> None:
    """q(x_t | x_0) is the composition of the single steps (Ho et al. 2020, eq. 2): checked on mean and variance."""
    process = make_process(schedule, 50, "v", zero_terminal_snr=zero)
    assert np.array_equal(process.betas, betas(schedule, 50, zero))
    for t in range(50):
        factor, variance = reference.marginal(process.betas, t)
        assert process.alpha[t] == pytest.approx(factor)
        assert process.sigma[t] ** 2 == pytest.approx(variance)
        if t < 49:
            assert process.log_snr[t] == pytest.approx(np.log(factor / np.sqrt(variance)), abs=1e-9)
    assert (process.alpha[-1] == 0) == zero
    assert (process.log_snr[-1] == -np.inf) == zero


def test_q_sample_uses_the_tables_by_image() -> None:
    process = make_process("cosine", 100, "v")
    x0, noise = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64), torch.full((2, 1, 4, 4), -2.0, dtype=torch.float64)
    drawn = process.q_sample(x0, torch.tensor([3, 90]), noise)
    for row, t in enumerate((3, 90)):
        assert drawn[row, 0, 0, 0].item() == pytest.approx(0.5 * process.alpha[t] - 2 * process.sigma[t], rel=1e-12)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_true_target_gives_back_the_image(prediction: Prediction) -> None:
    process = make_process("cosine", 1000, prediction)
    data, t = batch(), torch.tensor([0, 1, 250, 500, 900, 990])
    xt, target = process.q_sample(data["x0"], t, data["noise"]), process.target(data["x0"], t, data["noise"])
    assert torch.allclose(process.predict_x0(target, xt, t), data["x0"], atol=1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_conversions_solve_the_equations_for_any_output(prediction: Prediction) -> None:
    process, data = make_process("cosine", 50, prediction), batch()
    xt = process.q_sample(data["x0"], STEPS, data["noise"])
    x0 = process.predict_x0(data["error"], xt, STEPS)
    assert torch.allclose(x0, x0_error_of(process, data["error"], data["x0"], data["noise"]), rtol=1e-9)


@pytest.mark.parametrize("prediction", WITHOUT_SIGNAL)
def test_conversions_stay_finite_where_nothing_of_the_image_is_left(prediction: Prediction) -> None:
    process, data = make_process("linear", 50, prediction, zero_terminal_snr=True), batch(dtype=torch.float32)
    t = torch.full((6,), 49)
    xt = process.q_sample(data["x0"], t, data["noise"])
    assert torch.equal(xt, data["noise"])
    target = process.target(data["x0"], t, data["noise"])
    assert torch.allclose(process.predict_x0(target, xt, t), data["x0"], atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_posterior_follows_from_bayes_rule(schedule: Schedule) -> None:
    process, data = make_process(schedule, 50, "v"), batch()
    xt = process.q_sample(data["x0"], STEPS, data["noise"])
    ours, log_variance = process.q_posterior_mean_variance(data["x0"], xt, STEPS)
    assert torch.allclose(ours[0], data["x0"][0])
    assert log_variance[0] == log_variance[1]  # at t = 0, where the variance is 0, that of t = 1
    assert process.posterior_variance[0] == 0
    for row, t in list(enumerate(STEPS.tolist()))[1:]:
        mean, variance = reference.posterior(process.betas, t, data["x0"][row].numpy(), xt[row].numpy())
        assert np.allclose(ours[row].numpy(), mean, rtol=1e-9)
        assert process.posterior_variance[t] == pytest.approx(variance, rel=1e-9)
        assert log_variance[row].item() == pytest.approx(np.log(variance), rel=1e-9)


@pytest.mark.parametrize("variance", ["fixed-small", "fixed-large", "learned"])
def test_log_variances_of_the_model(variance: Variance) -> None:
    process, data = make_process("cosine", 50, "v", variance=variance), batch(channels=2)
    output = torch.cat([data["error"], data["raw"]], dim=1) if process.learned else data["error"]
    prediction, fraction = process.split_output(output)
    assert torch.equal(prediction, data["error"])
    ours = process.model_log_variance(fraction, STEPS, data["x0"]).expand_as(data["x0"])
    for row, t in enumerate(STEPS.tolist()):
        share = (data["raw"][row].numpy() + 1) / 2
        expected = reference.log_variance(process.betas, t, variance, share)
        assert np.allclose(ours[row].numpy(), np.broadcast_to(expected, ours[row].shape), rtol=1e-9)


def test_raw_outputs_of_plus_and_minus_one_are_the_fixed_variances() -> None:
    process = make_process("linear", 20, "epsilon", variance="learned")
    t = torch.arange(20)
    like = torch.zeros(20, 1, 1, 1, dtype=torch.float64)
    for raw, table in ((-1.0, process.posterior_log_variance_clipped), (1.0, process.log_betas)):
        _, fraction = process.split_output(torch.cat([like, torch.full_like(like, raw)], dim=1))
        assert np.allclose(process.model_log_variance(fraction, t, like).flatten(), table, rtol=1e-12)


def test_variances_are_those_of_diffusers() -> None:
    from echosynth.compute import torchvision_schemas as _torchvision

    _torchvision.make_importable()
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")
    process = make_process("cosine", 100, "epsilon")
    raw = torch.tensor(0.3)
    for t in range(1, 99):
        assert float(theirs._get_variance(t, variance_type="fixed_small")) == pytest.approx(
            process.posterior_variance[t], rel=1e-4
        )
        assert float(theirs._get_variance(t, variance_type="fixed_large_log")) == pytest.approx(
            process.log_betas[t], rel=1e-4
        )
        learned = 0.65 * process.log_betas[t] + 0.35 * process.posterior_log_variance_clipped[t]
        got = theirs._get_variance(t, predicted_variance=raw, variance_type="learned_range")
        assert float(got) == pytest.approx(learned, abs=1e-3)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_simple_loss_is_the_mean_squared_error_of_the_target(prediction: Prediction) -> None:
    process, data = make_process("cosine", 50, prediction), batch()
    x0, noise, out = data["x0"].numpy(), data["noise"].numpy(), data["error"].numpy()
    losses = process.training_losses(answering(data["error"]), data["x0"], (), STEPS, data["noise"])
    for row, t in enumerate(STEPS.tolist()):
        factor, variance = reference.marginal(process.betas, t)
        target = reference.target(prediction, x0[row], noise[row], factor, variance)
        assert losses[row].item() == pytest.approx(((out[row] - target) ** 2).mean(), rel=1e-9)


def test_min_snr_weights_agree_across_predictions() -> None:
    """The same wrong estimate of the image costs the same, whatever the network predicts: min(SNR, gamma) |x0
    error|^2."""
    data, t = batch(4), torch.tensor([5, 300, 700, 990])
    for prediction in PREDICTIONS:
        process = make_process("cosine", 1000, prediction, loss="min-snr", min_snr_gamma=5.0)
        alpha = torch.from_numpy(process.alpha)[t].view(-1, 1, 1, 1)
        sigma = torch.from_numpy(process.sigma)[t].view(-1, 1, 1, 1)
        # Image and noise that are both wrong, and make the same x_t.
        wrong = process.target(data["x0"] + data["error"], t, data["noise"] - alpha / sigma * data["error"])
        losses = process.training_losses(answering(wrong), data["x0"], (), t, data["noise"])
        snr = (process.alpha / process.sigma)[t.numpy()] ** 2
        expected = np.minimum(snr, 5.0) * data["error"].square().flatten(1).mean(1).numpy()
        assert np.allclose(losses.numpy(), expected, rtol=1e-6)


def test_min_snr_weights_are_those_of_the_paper() -> None:
    t = torch.arange(1000)
    snr = reference.cosine_alpha_bar(1000) / (1 - reference.cosine_alpha_bar(1000))
    clipped = np.minimum(snr, 3.0)
    flow = clipped / (np.sqrt(snr) + 1) ** 2  # u = eps - x_0 is off by -(sqrt(SNR) + 1) times the error of the image
    weights = (("epsilon", clipped / snr), ("x0", clipped), ("v", clipped / (snr + 1)), ("flow", flow))
    for prediction, expected in weights:
        process = make_process("cosine", 1000, prediction, loss="min-snr", min_snr_gamma=3.0)
        assert np.allclose(process.loss_weight(t)[:-2], expected[:-2], rtol=1e-5)  # the last betas are clipped
    assert torch.equal(make_process("cosine", 1000, "v").loss_weight(t), torch.ones(1000))


def test_min_snr_weights_of_the_last_step_without_signal_are_zero() -> None:
    for prediction in WITHOUT_SIGNAL:
        process = make_process("cosine", 50, prediction, loss="min-snr", zero_terminal_snr=True)
        weights = process.loss_weight(torch.arange(50))
        assert weights[-1] == 0
        assert (weights[:-1] > 0).all()


@pytest.mark.parametrize("variance", ["fixed-small", "fixed-large", "learned"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_variational_loss_is_the_bound_term_by_term(
    schedule: Schedule, prediction: Prediction, variance: Variance
) -> None:
    process, data = make_process(schedule, 50, prediction, variance=variance, loss="variational"), batch()
    # A good prediction: at t = 0 scipy's tails run out of digits else.
    prediction_ = process.target(data["x0"], STEPS, data["noise"]) + 0.02 * data["error"]
    output = torch.cat([prediction_, data["raw"]], dim=1) if process.learned else prediction_
    losses = process.training_losses(answering(output), data["x0"], (), STEPS, data["noise"])
    expected = variational(process, data, prediction_, (data["raw"] + 1) / 2 if process.learned else None)
    assert (expected[1:] > 0).all()
    assert np.allclose(losses.numpy(), 50 * expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("timesteps", [50, 4000])
def test_the_hybrid_loss_is_simple_plus_a_share_of_the_bound(prediction: Prediction, timesteps: int) -> None:
    process, data = make_process("cosine", timesteps, prediction, variance="learned", loss="hybrid"), batch()
    target = process.target(data["x0"], STEPS, data["noise"])
    output = target + 0.002 * data["error"]
    losses = process.training_losses(
        answering(torch.cat([output, data["raw"]], dim=1)), data["x0"], (), STEPS, data["noise"]
    ).numpy()
    simple = ((output - target) ** 2).flatten(1).mean(1).numpy()
    bound = variational(process, data, output, (data["raw"] + 1) / 2)
    assert np.allclose(losses, simple + timesteps / 1000 * bound, rtol=1e-6)


def gradients(process: Process) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the summed losses, with respect to the prediction and to the raw output of the variance."""
    data = batch()
    target = process.target(data["x0"], STEPS, data["noise"])
    prediction = (target + 0.02 * data["error"]).requires_grad_()
    raw = data["raw"].requires_grad_()
    network = answering(torch.cat([prediction, raw], dim=1))
    process.training_losses(network, data["x0"], (), STEPS, data["noise"]).sum().backward()
    assert prediction.grad is not None
    assert raw.grad is not None
    return prediction.grad, raw.grad


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_hybrid_loss_trains_the_mean_by_the_squared_error_alone(prediction: Prediction) -> None:
    data = batch()
    by_hybrid, by_bound = gradients(make_process("cosine", 50, prediction, variance="learned", loss="hybrid"))
    assert torch.allclose(by_hybrid, 2 * 0.02 * data["error"] / 16, rtol=1e-6)
    of_mean, of_variance = gradients(make_process("cosine", 50, prediction, variance="learned", loss="variational"))
    assert torch.allclose(by_bound, of_variance / 1000, rtol=1e-6)  # T / 1000 against T
    assert by_bound.abs().flatten(1).sum(1).min() > 0
    assert not torch.allclose(of_mean, by_hybrid)


@pytest.mark.parametrize("loss", ["hybrid", "variational"])
def test_losses_are_float32_and_alike_under_autocast(loss: Loss) -> None:
    process, data = make_process("cosine", 50, "v", variance="learned", loss=loss), batch(dtype=torch.float32)
    exact = batch()
    target = process.target(exact["x0"], STEPS, exact["noise"])
    output = torch.cat([target + 0.02 * exact["error"], exact["raw"]], dim=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = process.training_losses(answering(output), data["x0"], (), STEPS, data["noise"])
    assert losses.dtype == torch.float32
    expected = process.training_losses(answering(output.double()), exact["x0"], (), STEPS, exact["noise"])
    assert torch.allclose(losses.double(), expected, rtol=5e-4)


def test_latents_have_a_density_at_the_first_step() -> None:
    process = make_process("cosine", 50, "x0", variance="fixed-small", loss="variational", space="latent")
    data = batch()
    x0 = 3 * data["error"]
    estimate = x0 + 0.001 * data["raw"]
    losses = process.training_losses(answering(estimate), x0, (), torch.zeros(6, dtype=torch.int64), data["noise"])
    scale = math.exp(process.posterior_log_variance_clipped[0] / 2)
    expected = -reference.norm.logpdf(x0.numpy(), estimate.numpy(), scale).reshape(6, -1).mean(1) / np.log(2)
    assert np.allclose(losses.numpy(), 50 * expected, rtol=1e-6)


def test_the_prior_term_is_the_divergence_of_the_noisiest_image_from_noise() -> None:
    data = batch()
    for schedule in SCHEDULES:
        process = make_process(schedule, 30, "v")
        factor, variance = reference.marginal(process.betas, 29)
        zero = np.zeros_like(data["x0"].numpy())
        expected = reference.kl(factor * data["x0"].numpy(), variance, zero, 1.0).reshape(6, -1).mean(1) / np.log(2)
        assert np.allclose(process.prior_bpd(data["x0"]), expected, rtol=1e-5, atol=1e-12)
    none_left = make_process("linear", 30, "v", zero_terminal_snr=True)
    assert torch.equal(none_left.prior_bpd(data["x0"]), torch.zeros(6, dtype=torch.float64))


def test_every_loss_stays_finite_without_terminal_snr() -> None:
    data, t = batch(dtype=torch.float32), torch.tensor([0, 1, 25, 47, 48, 49])
    for prediction in ("x0", "v"):
        for variance, loss in (
            ("fixed-small", "simple"),
            ("fixed-large", "min-snr"),
            ("learned", "hybrid"),
            ("learned", "variational"),
        ):
            process = make_process("sigmoid", 50, prediction, variance, loss, zero_terminal_snr=True)  # type: ignore[arg-type]
            output = torch.cat([data["error"], data["raw"]], dim=1) if process.learned else data["error"]
            output.requires_grad_()
            losses = process.training_losses(answering(output), data["x0"], (), t, data["noise"])
            losses.sum().backward()
            assert torch.isfinite(losses).all()
            assert output.grad is not None
            assert torch.isfinite(output.grad).all()
            output.grad = None
            output.requires_grad_(False)


def test_the_network_is_asked_with_the_noisy_image_the_step_and_the_condition() -> None:
    process, data = make_process("cosine", 50, "v"), batch()
    views, sources = torch.arange(6), torch.arange(6) + 10
    seen: list[tuple[torch.Tensor, ...]] = []

    def network(*inputs: torch.Tensor) -> torch.Tensor:
        seen.append(inputs)
        return data["error"]

    process.training_losses(network, data["x0"], (views, sources), STEPS, data["noise"])
    expected = (process.q_sample(data["x0"], STEPS, data["noise"]), STEPS, views, sources)
    assert all(torch.equal(got, want) for got, want in zip(*seen, expected, strict=True))


def test_the_demos_losses_are_the_plain_arithmetic_of_float32() -> None:
    """The digits of the main job's training depend on these operations and their order."""
    process, data = make_process("cosine", 1000, "v", loss="min-snr", min_snr_gamma=5.0), batch(8, dtype=torch.float32)
    t = torch.tensor([0, 3, 100, 400, 600, 900, 998, 999])
    bar = np.cumprod(1 - betas("cosine", 1000, False))
    alpha, sigma = (torch.from_numpy(np.sqrt(part))[t].float().view(-1, 1, 1, 1) for part in (bar, 1 - bar))
    snr = np.exp(2 * np.log(np.sqrt(bar) / np.sqrt(1 - bar)))
    weight = torch.from_numpy(np.minimum(snr, 5.0) / (snr + 1))[t].float()
    target = alpha * data["noise"] - sigma * data["x0"]
    expected = weight * (data["error"] - target).square().flatten(1).mean(1)
    assert torch.equal(process.training_losses(answering(data["error"]), data["x0"], (), t, data["noise"]), expected)


def test_tables_first_used_in_inference_serve_training() -> None:
    process, data = make_process("cosine", 50, "v", variance="learned"), batch(dtype=torch.float32)
    output = torch.cat([data["error"], data["raw"]], dim=1).requires_grad_()
    with torch.inference_mode():
        process.training_losses(answering(output), data["x0"], (), STEPS, data["noise"])
    process.training_losses(answering(output), data["x0"], (), STEPS, data["noise"]).sum().backward()


@pytest.mark.parametrize(("variance", "channels"), [("fixed-small", 2), ("learned", 1)])
def test_a_network_without_the_right_channels_is_refused(variance: Variance, channels: int) -> None:
    """One channel too many would be broadcast in silence."""
    process, data = make_process("cosine", 50, "v", variance=variance), batch()
    output = torch.zeros(6, channels, 4, 4, dtype=torch.float64)
    with pytest.raises(EchosynthError, match=r"diffusion\.variance"):
        process.training_losses(answering(output), data["x0"], (), STEPS, data["noise"])
