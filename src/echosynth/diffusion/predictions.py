"""What a network may say of a noisy image: five predictions, each a fixed mixture of image and noise.

A prediction is p x_0 + q eps, with p and q by step. Together with x_t = alpha x_0 + sigma eps it gives the image back:

    x_0 = (q x_t - sigma prediction) / (q alpha - sigma p)

- `epsilon`: the noise (Ho et al. 2020). `x0`: the image.
- `v` = alpha eps - sigma x_0 (Salimans & Ho 2022, section 4 and appendix D).
- `flow` = eps - x_0, the velocity of the straight path x_s = (1 - s) x_0 + s eps (Liu et al. 2023, eq. 1; Lipman et al.
  2023, section 4.1). x_t is that x_s divided by sqrt((1 - s)^2 + s^2), at s = sigma / (alpha + sigma); this x_t, of
  about unit variance, is also what the network sees. With schedule `flow` s grows evenly.
- `edm`: F of D(x) = c_skip x + c_out F(c_in x) (Karras et al. 2022, table 1, eq. 7), written for x_t = alpha x, where
  all three stay finite without any signal. Its time embedding stays that of the step: c_noise is not used.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from echosynth.diffusion.options import Prediction, Space
from echosynth.diffusion.schedules import Table

# Standard deviation of the data for `edm`: Karras et al. 2022, table 1; latents are scaled to 1.
SIGMA_DATA: dict[Space, float] = {"pixel": 0.5, "latent": 1.0}


class Shares(NamedTuple):
    """Of image and noise in a prediction, p and q by step, each (T,)."""

    image: Table
    noise: Table


def _edm(alpha: Table, sigma: Table, data: float) -> Shares:
    """Solve x_0 = D(x_t / alpha) for F: EDM's own sigma is sigma / alpha, and its D is that of any x_t."""
    total = edm_deviation(alpha, sigma, data)
    return Shares(sigma / (data * total), -alpha * data / total)


def edm_deviation(alpha: Table, sigma: Table, data: float) -> Table:
    """Compute the standard deviation of x_t, (T,), for images of the deviation `data`: alpha / c_in in EDM's terms."""
    return np.sqrt(sigma**2 + (alpha * data) ** 2)


PREDICTIONS: dict[Prediction, Callable[[Table, Table, float], Shares]] = {
    "epsilon": lambda alpha, sigma, data: Shares(np.zeros_like(alpha), np.ones_like(alpha)),
    "x0": lambda alpha, sigma, data: Shares(np.ones_like(alpha), np.zeros_like(alpha)),
    "v": lambda alpha, sigma, data: Shares(-sigma, alpha),
    "flow": lambda alpha, sigma, data: Shares(-np.ones_like(alpha), np.ones_like(alpha)),
    "edm": _edm,
}
