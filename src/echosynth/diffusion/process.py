"""The Gaussian diffusion process: noise schedules, conversions between predictions, the training loss.

Notation: x_t = alpha_t x_0 + sigma_t eps with alpha_t^2 + sigma_t^2 = 1 and t = 0 ... T-1 (Ho et al. 2020, eq. 4,
    counts from 1);
v = alpha_t eps - sigma_t x_0 (Salimans & Ho 2022, section 4 and appendix D).
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

Schedule = Literal["linear", "cosine"]
Prediction = Literal["epsilon", "x0", "v"]
Denoiser = torch.nn.Module
MAX_BETA = 0.999


def betas(schedule: Schedule, timesteps: int) -> npt.NDArray[np.float64]:
    """Variances of the forward steps.

    Args:
        schedule: `linear` (Ho et al. 2020, section 4, its range scaled by 1000 / T as in Nichol & Dhariwal 2021) or
            `cosine` (Nichol & Dhariwal 2021, eq. 17, with s = 0.008).
        timesteps: T.

    Returns:
        (T,) float64 in (0, 0.999].
    """
    if schedule == "linear":
        scale = 1000 / timesteps
        return np.linspace(scale * 1e-4, scale * 0.02, timesteps, dtype=np.float64).clip(max=MAX_BETA)
    steps = np.arange(timesteps + 1, dtype=np.float64) / timesteps
    bar = np.cos((steps + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - bar[1:] / bar[:-1], MAX_BETA)


class Process:
    """One noise schedule with one kind of prediction.

    Attributes:
        alpha: (T,) float64, share of the image at each t.
        sigma: (T,) float64, share of the noise.
        log_snr: (T,) float64, log(alpha / sigma), half of the log signal-to-noise ratio ("lambda" in Lu et al. 2022).
    """

    def __init__(self, schedule: Schedule, timesteps: int, prediction: Prediction, min_snr_gamma: float = 0.0) -> None:
        alpha_bar = np.cumprod(1 - betas(schedule, timesteps))
        self.timesteps = timesteps
        self.prediction = prediction
        self.min_snr_gamma = min_snr_gamma
        self.alpha = np.sqrt(alpha_bar)
        self.sigma = np.sqrt(1 - alpha_bar)
        self.log_snr = np.log(self.alpha / self.sigma)

    def _at(self, table: npt.NDArray[np.float64], t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Values of a table at t (B,), shaped to multiply `like` (B, ...)."""
        values = torch.from_numpy(table).to(like.device)[t].to(like.dtype)
        return values.view(-1, *([1] * (like.ndim - 1)))

    def noised(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """x_t of q(x_t | x_0) (Ho et al. 2020, eq. 4) for images (B, ...), steps t (B,) and standard normal noise (B,
        ...)."""
        return self._at(self.alpha, t, x0) * x0 + self._at(self.sigma, t, x0) * noise

    def target(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """What the network is asked for: noise, image or v, (B, ...)."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "x0":
            return x0
        return self._at(self.alpha, t, x0) * noise - self._at(self.sigma, t, x0) * x0

    def to_x0(self, output: torch.Tensor, xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The image (B, ...) that the network's output stands for, given x_t and t."""
        alpha, sigma = self._at(self.alpha, t, xt), self._at(self.sigma, t, xt)
        if self.prediction == "epsilon":
            return (xt - sigma * output) / alpha
        if self.prediction == "x0":
            return output
        return alpha * xt - sigma * output

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        """Weight of each image's squared error, (B,): min-SNR (Hang et al. 2023, eq. 9 and its forms for epsilon and
        v), or 1."""
        if self.min_snr_gamma == 0:
            return torch.ones_like(t, dtype=torch.float32)
        snr = np.exp(2 * self.log_snr)
        clipped = np.minimum(snr, self.min_snr_gamma)
        table = {"epsilon": clipped / snr, "x0": clipped, "v": clipped / (snr + 1)}[self.prediction]
        return torch.from_numpy(table).to(t.device)[t].float()

    def losses(
        self, network: Denoiser, x0: torch.Tensor, labels: torch.Tensor, t: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Weighted squared error of each image, mean over its pixels.

        Args:
            network: called as network(x_t, t, labels), returns the shape of x_t.
            x0: (B, C, H, W) in [-1, 1].
            labels: (B,) class indices, the null class included.
            t: (B,) steps in 0 ... T-1.
            noise: (B, C, H, W) standard normal.

        Returns:
            (B,) float32.
        """
        output = network(self.noised(x0, t, noise), t, labels).float()
        error = (output - self.target(x0, t, noise)).square().flatten(1).mean(1)
        return self.weight(t) * error
