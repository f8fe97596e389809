"""The forward process: T steps from an image to noise, and what goes back along them when the image is known.

Notation: x_t = alpha_t x_0 + sigma_t eps with alpha_t^2 = alphas_cumprod_t, alpha_t^2 + sigma_t^2 = 1 and t = 0 ... T-1
(Ho et al. 2020, eq. 4, counts from 1). All tables are float64; what is computed from them has the type of the images.
"""

from typing import NamedTuple

import numpy as np
import torch

from echosynth.diffusion.schedules import Table


class Gaussian(NamedTuple):
    """A normal distribution with independent elements.

    Attributes:
        mean: (B, ...).
        log_variance: broadcast to the mean.
    """

    mean: torch.Tensor
    log_variance: torch.Tensor


class ForwardProcess:
    """The tables of a noise schedule, for all T steps or for those that `SpacedProcess` keeps of them.

    Args:
        betas: (T,) float64, variance of each step.
        alphas_cumprod: (T,) float64, running product of 1 - beta where it is known without rounding; None: computed.

    Attributes:
        timesteps: T.
        betas: as above; the upper end of the variance of a reverse step.
        alphas_cumprod: as above, alpha bar in the papers.
        alpha: its root, the share of the image at each t.
        sigma: root of 1 - alphas_cumprod, the share of the noise.
        log_snr: log(alpha / sigma), half of the log signal-to-noise ratio ("lambda" in Lu et al. 2022); -inf at T-1
            with zero terminal SNR.
        posterior_mean_coef1, posterior_mean_coef2: factors of x_0 and x_t in the mean of q(x_t-1 | x_t, x_0) (Ho et al.
            2020, eq. 7).
        posterior_variance: its variance, beta tilde, the lower end of that of a reverse step; 0 at t = 0.
        posterior_log_variance_clipped: its logarithm; at t = 0, where it is -inf, the value of t = 1 stands in, as in
            Improved Diffusion.
        log_betas: log beta.
    """

    def __init__(self, betas: Table, alphas_cumprod: Table | None = None) -> None:
        self.timesteps = len(betas)
        self.betas = betas
        self.alphas_cumprod: Table = (1 - betas).cumprod() if alphas_cumprod is None else alphas_cumprod
        self.alpha = np.sqrt(self.alphas_cumprod)
        self.sigma = np.sqrt(1 - self.alphas_cumprod)
        before = np.append(1.0, self.alphas_cumprod[:-1])
        self.posterior_mean_coef1 = betas * np.sqrt(before) / (1 - self.alphas_cumprod)
        self.posterior_mean_coef2 = (1 - before) * np.sqrt(1 - betas) / (1 - self.alphas_cumprod)
        self.posterior_variance = betas * (1 - before) / (1 - self.alphas_cumprod)
        with np.errstate(divide="ignore"):  # -inf without signal at the end, and for a process of a single step
            self.log_snr = np.log(self.alpha / self.sigma)
            lowest = self.posterior_variance[:2][-1]
            self.posterior_log_variance_clipped = np.log(np.append(lowest, self.posterior_variance[1:]))
        self.log_betas = np.log(betas)
        self._cache: dict[tuple[str, torch.device, torch.dtype], torch.Tensor] = {}

    def q_sample(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Draw x_t from q(x_t | x_0) (Ho et al. 2020, eq. 4).

        Args:
            x0: (B, ...) images.
            t: (B,) steps.
            noise: (B, ...) standard normal.
        """
        return self._at("alpha", t, x0) * x0 + self._at("sigma", t, x0) * noise

    def q_posterior_mean_variance(self, x0: torch.Tensor, xt: torch.Tensor, t: torch.Tensor) -> Gaussian:
        """Compute q(x_t-1 | x_t, x_0) (Ho et al. 2020, eq. 7) for x_0 and x_t (B, ...) and t (B,): its mean, which is
        x_0 itself at t = 0, and the clipped logarithm of its variance."""
        mean = self._at("posterior_mean_coef1", t, xt) * x0 + self._at("posterior_mean_coef2", t, xt) * xt
        return Gaussian(mean, self._at("posterior_log_variance_clipped", t, xt))

    def _values(self, table: str, t: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Look up values (B,) of a table at t (B,). The tables are brought to a device once: training looks some up
        each step."""
        key = (table, device, dtype)
        if key not in self._cache:
            self._cache[key] = torch.from_numpy(vars(self)[table]).to(dtype).to(device)
        return self._cache[key][t]

    def _at(self, table: str, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Look up values of a table at t (B,), shaped to multiply `like` (B, ...)."""
        return self._values(table, t, like.device, like.dtype).view(-1, *([1] * (like.ndim - 1)))
