"""The diffusion process with what a network learns of it: predictions, variances of the reverse steps, losses.

The notation is that of `echosynth.diffusion.forward`. The names are those of Improved Diffusion's
`gaussian_diffusion.py`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.forward import ForwardProcess, Gaussian
from echosynth.diffusion.gaussians import discretized_gaussian_log_likelihood, gaussian_log_likelihood, normal_kl
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.pixel_gaussian import PixelGaussian
from echosynth.diffusion.preconditioning import precondition
from echosynth.diffusion.predictions import PREDICTIONS, SIGMA_DATA, edm_deviation
from echosynth.diffusion.schedules import betas

Denoiser = Callable[..., torch.Tensor]  # network(x_t, t, *condition)


class Estimate(NamedTuple):
    """What the network says of an image at one step.

    Attributes:
        x0: (B, C, ...), E[x_0 | x_t].
        fraction: same shape, where the variance is learned: where the log variance of the reverse step lies between
            the posterior variance (0) and beta (1). None otherwise.
    """

    x0: torch.Tensor
    fraction: torch.Tensor | None = None


class Remainder(NamedTuple):
    """A preconditioned model's estimate of the image (B, ...), and the deviation (B, 1, ...) that it is measured in."""

    x0: torch.Tensor
    deviation: torch.Tensor


class Process(ForwardProcess):
    """One noise schedule with one kind of prediction, of variance and of loss.

    Args:
        params: section `diffusion`, of which it needs `timesteps`, `schedule`, `zero_terminal_snr` (see
            `echosynth.diffusion.schedules`), `prediction` (what the network's first channels stand for, see
            `echosynth.diffusion.predictions`), `variance` of p(x_t-1 | x_t) (fixed: Ho et al. 2020, section 3.2),
            `loss`, `min_snr_gamma` and `space`: pixels have 256 values in [-1, 1], whereas the last variational term of
            latents is a density.
        gaussian: of the training images, on the device of the images to come, where `preconditioning` is gaussian.

    Raises:
        ValueError: the Gaussian is missing, or is not asked for.

    Attributes:
        prediction, variance, loss: of the parameters.
        pixels: x_0 are 8-bit pixels in [-1, 1].
        learned: whether the network has channels for the variance.
    """

    def __init__(self, params: DiffusionParams, gaussian: PixelGaussian | None = None) -> None:
        super().__init__(betas(params.schedule, params.timesteps, params.zero_terminal_snr))
        if (gaussian is None) != (params.preconditioning == "none"):
            raise ValueError(f"preconditioning = {params.preconditioning} and the Gaussian handed over do not fit")
        self.gaussian = gaussian
        self.prediction, self.variance, self.loss = params.prediction, params.variance, params.loss
        self.pixels = params.space == "pixel"
        self.learned = params.variance == "learned"
        # At t = 0 both fixed variances are that of t = 1, as in the code of both papers: a better decoder.
        fixed_large = np.append(self.posterior_log_variance_clipped[0], self.log_betas[1:])
        self._log_variance_fixed = (
            fixed_large if params.variance == "fixed-large" else self.posterior_log_variance_clipped
        )
        data = SIGMA_DATA[params.space]
        self._target_x0, self._target_noise = PREDICTIONS[params.prediction](self.alpha, self.sigma, data)
        determinant = self._target_noise * self.alpha - self.sigma * self._target_x0
        self._x0_of_xt, self._x0_of_prediction = self._target_noise / determinant, -self.sigma / determinant
        self._edm_input = 1 / edm_deviation(self.alpha, self.sigma, data)
        self._loss_weight = np.ones(self.timesteps)
        if params.loss == "min-snr":
            snr = np.exp(2 * self.log_snr)
            self._loss_weight = np.minimum(snr, params.min_snr_gamma) * self._x0_of_prediction**2

    def loss_weight(self, t: torch.Tensor) -> torch.Tensor:
        """Look up the weight of each image's squared error, (B,) float32: 1, or for the loss `min-snr` (Hang et al.
        2023) that which makes the squared error of the image weigh min(SNR, gamma) for any prediction: min(SNR, gamma)
        / SNR for noise, min(SNR, gamma) for the image, min(SNR, gamma) / (SNR + 1) for v, and so on.

        A step without any signal weighs 0 under min-SNR: with zero terminal SNR the last step then learns from its
        neighbours alone.
        """
        return self._values("_loss_weight", t, t.device, torch.float32)

    def target(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Compute what the model is asked for, a mixture of image and noise, (B, ...)."""
        return self._at("_target_x0", t, x0) * x0 + self._at("_target_noise", t, x0) * noise

    def predict_from_x0(self, x0: torch.Tensor, xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Compute the prediction (B, ...) that stands for an estimate of the image, given x_t and t: the inverse of
        `predict_x0`."""
        return self.target(x0, t, (xt - self._at("alpha", t, xt) * x0) / self._at("sigma", t, xt))

    def predict_x0(self, prediction: torch.Tensor, xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Compute the image (B, ...) that a prediction stands for, given x_t and t."""
        return self._at("_x0_of_xt", t, xt) * xt + self._at("_x0_of_prediction", t, xt) * prediction

    def split_output(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Part the network's output (B, C or 2C, ...) into the prediction (B, C, ...) and, where the variance is
        learned, the fraction of `Estimate` (B, C, ...), else None (Nichol & Dhariwal 2021, eq. 15, v there; the raw
        output is in about [-1, 1], as in their code)."""
        if not self.learned:
            return output, None
        prediction, raw = output.chunk(2, dim=1)
        return prediction, (raw + 1) / 2

    def model_output(
        self, network: Denoiser, xt: torch.Tensor, t: torch.Tensor, condition: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Evaluate the model: network(x_t, t, *condition), preconditioned where that is asked for (the condition then
        begins with views and sources), parted by `split_output`, in float32 at least. For the prediction `edm` the
        network sees x_t at unit variance, as EDM's c_in makes it.

        Raises:
            EchosynthError: its channels are not those that the variance asks for.
        """
        return self._evaluated(network, xt, t, condition)[:2]

    def _evaluated(
        self, network: Denoiser, xt: torch.Tensor, t: torch.Tensor, condition: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor | None, Remainder | None]:
        """Do what `model_output` says; returns the remainder of the image too, where the model is preconditioned."""
        if self.gaussian is None:
            inputs = self._at("_edm_input", t, xt) * xt if self.prediction == "edm" else xt
            return *self._parted(network(inputs, t, *condition), xt), None
        alpha, sigma = (self._values(table, t, xt.device, xt.dtype) for table in ("alpha", "sigma"))
        views, sources = condition[:2]
        known = precondition(self.gaussian, xt, alpha, sigma, views, sources)
        raw, fraction = self._parted(network(known.inputs, t, *condition), xt)
        x0 = known.mean + known.deviation * raw
        return self.predict_from_x0(x0, xt, t), fraction, Remainder(x0, known.deviation)

    def _parted(self, output: torch.Tensor, xt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Check the shape of what a network returns, and part it."""
        if output.shape != (len(xt), xt.shape[1] * (2 if self.learned else 1), *xt.shape[2:]):
            raise EchosynthError(
                f"the network returns shape {tuple(output.shape)} for images of shape {tuple(xt.shape)}, which does "
                f"not fit diffusion.variance = {self.variance}: a learned variance, and no other, needs twice the "
                "channels"
            )
        return self.split_output(output.to(torch.promote_types(xt.dtype, torch.float32)))

    def model_log_variance(self, fraction: torch.Tensor | None, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Compute the log variance of p(x_t-1 | x_t), to be broadcast to `like` (B, ...): the fixed one, or the learned
        f log beta + (1 - f) log beta tilde for the fraction f of `Estimate` (Nichol & Dhariwal 2021, eq. 15)."""
        if fraction is None:
            return self._at("_log_variance_fixed", t, like)
        small, large = self._at("posterior_log_variance_clipped", t, like), self._at("log_betas", t, like)
        return fraction * large + (1 - fraction) * small

    def p_mean_variance(self, estimate: Estimate, xt: torch.Tensor, t: torch.Tensor) -> Gaussian:
        """Compute p(x_t-1 | x_t), the reverse step of the model: the posterior's mean with the estimate in the place of
        x_0 (Ho et al. 2020, eq. 7), and the model's log variance."""
        mean = self.q_posterior_mean_variance(estimate.x0, xt, t).mean
        return Gaussian(mean, self.model_log_variance(estimate.fraction, t, xt))

    def vb_terms_bpd(self, x0: torch.Tensor, xt: torch.Tensor, t: torch.Tensor, estimate: Estimate) -> torch.Tensor:
        """Compute terms of the variational bound (Ho et al. 2020, eq. 5), in bits per dimension, (B,).

        For t > 0 the divergence of p(x_t-1 | x_t) from q(x_t-1 | x_t, x_0); for t = 0 the negative log likelihood of
        x_0: of 8-bit pixels (eq. 13), or the density where `pixels` is False.

        Args:
            x0: (B, ...) float32 or float64.
            xt: (B, ...), drawn from q(x_t | x_0).
            t: (B,) steps.
            estimate: the model's, of the shape of x0.
        """
        model = self.p_mean_variance(estimate, xt, t)
        # Both means hold the same share of x_t: their difference is known without subtracting them.
        difference = self._at("posterior_mean_coef1", t, x0) * (estimate.x0 - x0)
        bound = normal_kl(difference, self._at("posterior_log_variance_clipped", t, x0), model.log_variance)
        first = t == 0
        if not first.is_cpu or first.any():  # asking a GPU would make it wait
            log_likelihood = discretized_gaussian_log_likelihood if self.pixels else gaussian_log_likelihood
            decoder = -log_likelihood(x0, model.mean, model.log_variance)
            bound = torch.where(first.view(-1, *([1] * (x0.ndim - 1))), decoder, bound)
        return bound.flatten(1).mean(1) / math.log(2)

    def prior_bpd(self, x0: torch.Tensor) -> torch.Tensor:
        """Compute L_T of the variational bound (Ho et al. 2020, eq. 5): the divergence of q(x_T | x_0) from the
        standard normal, in bits per dimension, (B,), for images (B, ...)."""
        t = torch.full((len(x0),), self.timesteps - 1, device=x0.device)
        log_variance = 2 * self._at("sigma", t, x0).log()
        kl = normal_kl(self._at("alpha", t, x0) * x0, log_variance, torch.zeros_like(log_variance))
        return kl.flatten(1).mean(1) / math.log(2)

    def training_losses(
        self,
        network: Denoiser,
        x0: torch.Tensor,
        condition: tuple[torch.Tensor, ...],
        t: torch.Tensor,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the loss of each image.

        - `simple`: squared error of the prediction, mean over the pixels (Ho et al. 2020, eq. 14).
        - `min-snr`: the same, weighted, see `loss_weight`.
        - `edm`: squared error of the image in units of what the preconditioning leaves open at that step: what is asked
          of the network weighs 1 at every step (Karras et al. 2022, section 5, lambda = 1 / c_out^2). c_out is the
          deviation around the Gaussian's estimate, or, without a Gaussian, that of the prediction `edm`, with which
          this loss is `simple`.
        - `hybrid`: simple + T / 1000 times the variational term in bits per dimension, in which the mean is detached so
          that it trains the variance alone (Nichol & Dhariwal 2021, eq. 16, with the weight of their code).
        - `variational`: T times the variational term, so that the mean over uniform t estimates the bound.

        Args:
            network: called as network(x_t, t, *condition); returns (B, C, H, W), or (B, 2C, H, W) with a learned
                variance.
            x0: (B, C, H, W), pixels in [-1, 1] or latents of unit variance.
            condition: what the network is told of each image, handed on.
            t: (B,) steps in 0 ... T-1.
            noise: (B, C, H, W) standard normal.

        Returns:
            (B,) float32, also under autocast (float64 for images in float64).

        Raises:
            EchosynthError: see `model_output`.
        """
        xt = self.q_sample(x0, t, noise)
        prediction, fraction, remainder = self._evaluated(network, xt, t, condition)
        if self.loss == "edm" and remainder is not None:
            return ((remainder.x0 - x0) / remainder.deviation).square().flatten(1).mean(1)
        if self.loss == "variational":
            estimate = Estimate(self.predict_x0(prediction, xt, t), fraction)
            return self.timesteps * self.vb_terms_bpd(x0, xt, t, estimate)
        error = (prediction - self.target(x0, t, noise)).square().flatten(1).mean(1)
        if self.loss == "hybrid":
            estimate = Estimate(self.predict_x0(prediction.detach(), xt, t), fraction)
            return error + self.timesteps / 1000 * self.vb_terms_bpd(x0, xt, t, estimate)
        return self.loss_weight(t) * error
