"""The Gaussian diffusion process: conversions between predictions, variances, training losses.

Notation: x_t = alpha_t x_0 + sigma_t eps with alpha_t^2 = alpha_bar_t, alpha_t^2 + sigma_t^2 = 1 and t = 0 ... T-1
    (Ho et al. 2020, eq. 4, counts from 1);
v = alpha_t eps - sigma_t x_0 (Salimans & Ho 2022, section 4 and appendix D).
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.gaussians import discretised_gaussian_nll, gaussian_kl, gaussian_nll
from echosynth.diffusion.schedules import Schedule as Schedule
from echosynth.diffusion.schedules import Table
from echosynth.diffusion.schedules import betas as betas

Prediction = Literal["epsilon", "x0", "v"]
Variance = Literal["fixed-small", "fixed-large", "learned"]
Loss = Literal["simple", "min-snr", "hybrid", "variational"]
Denoiser = Callable[..., torch.Tensor]  # network(x_t, t, *condition)


def _check(
    prediction: Prediction, variance: Variance, loss: Loss, min_snr_gamma: float, zero_terminal_snr: bool
) -> None:
    """Refuse combinations that cannot be trained."""
    if zero_terminal_snr and prediction == "epsilon":
        raise EchosynthError(
            "diffusion.prediction = epsilon cannot go with diffusion.zero_terminal_snr: the last step holds nothing "
            "but noise, so that its noise says nothing about the image; predict v or x0"
        )
    if variance == "learned" and loss in ("simple", "min-snr"):
        raise EchosynthError(
            f"diffusion.loss = {loss} leaves diffusion.variance = learned untrained: take the loss hybrid or "
            "variational, or a fixed variance"
        )
    if variance != "learned" and loss == "hybrid":
        raise EchosynthError(
            f"diffusion.loss = hybrid trains a variance, but diffusion.variance = {variance}: set it to learned, or "
            "take another loss"
        )
    if loss == "min-snr" and not min_snr_gamma > 0:
        raise EchosynthError(
            f"diffusion.min_snr_gamma = {min_snr_gamma} must be above 0; for the plain squared error set "
            "diffusion.loss to simple"
        )


class Process:
    """One noise schedule with one kind of prediction, of variance and of loss.

    Args:
        schedule: see `betas`.
        timesteps: T.
        prediction: what the network's first channels stand for: noise, image or v.
        variance: of p(x_t-1 | x_t): `fixed-small` (posterior variance) or `fixed-large` (beta), Ho et al. 2020,
            section 3.2; `learned` between the two, Nichol & Dhariwal 2021, eq. 15.
        loss: see `losses`; None: the squared error that trains everything that is predicted, `hybrid` for a learned
            variance and `simple` else.
        min_snr_gamma: gamma of the loss `min-snr`.
        zero_terminal_snr: see `betas`.
        pixels: x_0 are 8-bit pixels in [-1, 1]. False for other values such as latents, whose last variational term is
            a density instead of a probability.

    Attributes:
        betas: (T,) float64, like all tables: variance of each forward step.
        alpha: share of the image at each t.
        sigma: share of the noise.
        log_snr: log(alpha / sigma), half of the log signal-to-noise ratio ("lambda" in Lu et al. 2022); -inf at T-1
            with `zero_terminal_snr`.
        posterior_x0, posterior_xt: factors of x_0 and x_t in the mean of q(x_t-1 | x_t, x_0).
        posterior_variance: its variance, beta tilde; 0 at t = 0.
        log_variance_small: log of beta tilde; at t = 0, where it is -inf, the value of t = 1 stands in, as in Improved
            Diffusion.
        log_variance_large: log beta.
        learned: whether the network has channels for the variance.

    Raises:
        EchosynthError: prediction, variance, loss and schedule do not go together.
    """

    def __init__(
        self,
        schedule: Schedule,
        timesteps: int,
        prediction: Prediction,
        variance: Variance = "fixed-small",
        loss: Loss | None = None,
        min_snr_gamma: float = 5.0,
        zero_terminal_snr: bool = False,
        pixels: bool = True,
    ) -> None:
        self.learned = variance == "learned"
        self.loss: Loss = loss or ("hybrid" if self.learned else "simple")
        _check(prediction, variance, self.loss, min_snr_gamma, zero_terminal_snr)
        self.timesteps = timesteps
        self.prediction = prediction
        self.variance = variance
        self.pixels = pixels

        self.betas = betas(schedule, timesteps, zero_terminal_snr)
        alpha_bar = np.cumprod(1 - self.betas)
        self.alpha = np.sqrt(alpha_bar)
        self.sigma = np.sqrt(1 - alpha_bar)
        with np.errstate(divide="ignore"):
            self.log_snr = np.log(self.alpha / self.sigma)

        # Ho et al. 2020, eq. 7.
        before = np.append(1.0, alpha_bar[:-1])
        self.posterior_x0 = self.betas * np.sqrt(before) / (1 - alpha_bar)
        self.posterior_xt = (1 - before) * np.sqrt(1 - self.betas) / (1 - alpha_bar)
        self.posterior_variance = self.betas * (1 - before) / (1 - alpha_bar)
        self.log_variance_small = np.log(np.append(self.posterior_variance[1], self.posterior_variance[1:]))
        self.log_variance_large = np.log(self.betas)
        # At t = 0 both fixed variances are that of t = 1, as in the code of both papers: a better decoder.
        fixed_large = np.append(self.log_variance_small[0], self.log_variance_large[1:])
        self._log_variance_fixed = fixed_large if variance == "fixed-large" else self.log_variance_small
        self._weight = self._weights(min_snr_gamma)
        self._cache: dict[tuple[str, torch.device, torch.dtype], torch.Tensor] = {}

    def _weights(self, gamma: float) -> Table:
        """Weight of the squared error at each t, (T,)."""
        if self.loss != "min-snr":
            return np.ones(self.timesteps)
        snr = np.exp(2 * self.log_snr)
        clipped = np.minimum(snr, gamma)
        if self.prediction == "x0":
            return clipped
        return clipped / (snr if self.prediction == "epsilon" else snr + 1)

    def _values(self, table: str, t: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Values (B,) of a table at t (B,). The tables are brought to a device once: training looks some up each
        step."""
        key = (table, device, dtype)
        if key not in self._cache:
            self._cache[key] = torch.from_numpy(vars(self)[table]).to(dtype).to(device)
        return self._cache[key][t]

    def _at(self, table: str, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Values of a table at t (B,), shaped to multiply `like` (B, ...)."""
        return self._values(table, t, like.device, like.dtype).view(-1, *([1] * (like.ndim - 1)))

    def noised(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """x_t of q(x_t | x_0) (Ho et al. 2020, eq. 4) for images (B, ...), steps t (B,) and standard normal noise (B,
        ...)."""
        return self._at("alpha", t, x0) * x0 + self._at("sigma", t, x0) * noise

    def target(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """What the network is asked for: noise, image or v, (B, ...)."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "x0":
            return x0
        return self._at("alpha", t, x0) * noise - self._at("sigma", t, x0) * x0

    def split(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Part the network's output (B, C or 2C, ...) into the prediction (B, C, ...) and, where the variance is
        learned, its place between small (0) and large (1), (B, C, ...), else None (Nichol & Dhariwal 2021, eq. 15, v
        there; the raw output is in about [-1, 1], as in their code)."""
        if not self.learned:
            return output, None
        prediction, raw = output.chunk(2, dim=1)
        return prediction, (raw + 1) / 2

    def ask(
        self, network: Denoiser, xt: torch.Tensor, t: torch.Tensor, condition: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Call network(x_t, t, *condition) and `split` what it returns, in float32 at least.

        Raises:
            EchosynthError: its channels are not those that the variance asks for.
        """
        output = network(xt, t, *condition)
        if output.shape != (len(xt), xt.shape[1] * (2 if self.learned else 1), *xt.shape[2:]):
            raise EchosynthError(
                f"the network returns shape {tuple(output.shape)} for images of shape {tuple(xt.shape)}, which does "
                f"not fit diffusion.variance = {self.variance}: a learned variance, and no other, needs twice the "
                "channels"
            )
        return self.split(output.to(torch.promote_types(xt.dtype, torch.float32)))

    def to_x0(self, prediction: torch.Tensor, xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The image (B, ...) that a prediction stands for, given x_t and t."""
        if self.prediction == "x0":
            return prediction
        alpha, sigma = self._at("alpha", t, xt), self._at("sigma", t, xt)
        if self.prediction == "epsilon":
            return (xt - sigma * prediction) / alpha
        return alpha * xt - sigma * prediction

    def posterior_mean(self, x0: torch.Tensor, xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Mean (B, ...) of q(x_t-1 | x_t, x_0) (Ho et al. 2020, eq. 7); x_0 itself at t = 0."""
        return self._at("posterior_x0", t, xt) * x0 + self._at("posterior_xt", t, xt) * xt

    def log_variance(self, fraction: torch.Tensor | None, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Log variance of p(x_t-1 | x_t), to be broadcast to `like` (B, ...): the fixed one, or f log beta + (1 - f)
        log beta tilde for the fraction f of `split` (Nichol & Dhariwal 2021, eq. 15)."""
        if fraction is None:
            return self._at("_log_variance_fixed", t, like)
        small, large = self._at("log_variance_small", t, like), self._at("log_variance_large", t, like)
        return fraction * large + (1 - fraction) * small

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        """Weight of each image's squared error, (B,) float32: 1, or for the loss `min-snr` (Hang et al. 2023)
        min(SNR, gamma) / SNR for noise, min(SNR, gamma) for the image, min(SNR, gamma) / (SNR + 1) for v.

        A step without any signal weighs 0 under min-SNR: with zero terminal SNR the last step then learns from its
        neighbours alone.
        """
        return self._values("_weight", t, t.device, torch.float32)

    def variational_terms(
        self,
        x0: torch.Tensor,
        xt: torch.Tensor,
        t: torch.Tensor,
        estimate: torch.Tensor,
        fraction: torch.Tensor | None,
    ) -> torch.Tensor:
        """Terms of the variational bound (Ho et al. 2020, eq. 5), in bits per dimension, (B,).

        For t > 0 the divergence of p(x_t-1 | x_t) from q(x_t-1 | x_t, x_0); for t = 0 the negative log likelihood of
        x_0: of 8-bit pixels (eq. 13), or the density where `pixels` is False.

        Args:
            x0: (B, ...) float32 or float64.
            xt: (B, ...), drawn from q(x_t | x_0).
            t: (B,) steps.
            estimate: (B, ...), the model's estimate of x_0.
            fraction: see `split`.
        """
        log_variance = self.log_variance(fraction, t, x0)
        # Both means hold the same share of x_t.
        difference = self._at("posterior_x0", t, x0) * (estimate - x0)
        bound = gaussian_kl(difference, self._at("log_variance_small", t, x0), log_variance)
        first = t == 0
        if not first.is_cpu or first.any():  # asking a GPU would make it wait
            mean = self.posterior_mean(estimate, xt, t)
            decoder = (discretised_gaussian_nll if self.pixels else gaussian_nll)(x0, mean, log_variance)
            bound = torch.where(first.view(-1, *([1] * (x0.ndim - 1))), decoder, bound)
        return bound.flatten(1).mean(1) / math.log(2)

    def prior_terms(self, x0: torch.Tensor) -> torch.Tensor:
        """L_T of the variational bound (Ho et al. 2020, eq. 5): divergence of q(x_T | x_0) from the standard normal, in
        bits per dimension, (B,), for images (B, ...)."""
        t = torch.full((len(x0),), self.timesteps - 1, device=x0.device)
        log_variance = 2 * self._at("sigma", t, x0).log()
        kl = gaussian_kl(self._at("alpha", t, x0) * x0, log_variance, torch.zeros_like(log_variance))
        return kl.flatten(1).mean(1) / math.log(2)

    def losses(
        self,
        network: Denoiser,
        x0: torch.Tensor,
        condition: tuple[torch.Tensor, ...],
        t: torch.Tensor,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        """Loss of each image.

        - `simple`: squared error of the prediction, mean over the pixels (Ho et al. 2020, eq. 14).
        - `min-snr`: the same, weighted, see `weight`.
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
            EchosynthError: see `ask`.
        """
        xt = self.noised(x0, t, noise)
        prediction, fraction = self.ask(network, xt, t, condition)
        if self.loss == "variational":
            estimate = self.to_x0(prediction, xt, t)
            return self.timesteps * self.variational_terms(x0, xt, t, estimate, fraction)
        error = (prediction - self.target(x0, t, noise)).square().flatten(1).mean(1)
        if self.loss == "hybrid":
            estimate = self.to_x0(prediction.detach(), xt, t)
            return error + self.timesteps / 1000 * self.variational_terms(x0, xt, t, estimate, fraction)
        return self.weight(t) * error
