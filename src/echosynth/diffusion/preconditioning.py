"""Preconditioning by a Gaussian: the network learns only what the mean and the covariance of the pixels do not say.

As in EDM (Karras et al. 2022, section 5) the model is D = c_skip x_t + c_out F(c_in x_t); here the estimate that needs
no network is the Wiener filter G of the image's own view and source, in place of a multiple of x_t, and c_out is the
deviation of x_0 that it leaves:

    E[x_0 | x_t] = G(x_t) + c F(inputs),    inputs = [(x_t - alpha m) / deviation of x_t, G(x_t)].

With F = 0 the model is the Gaussian.
"""

from typing import NamedTuple

import torch

from echosynth.diffusion.pixel_gaussian import PixelGaussian


class Preconditioned(NamedTuple):
    """What is known of x_0 before the network is asked.

    Attributes:
        inputs: (B, 2 C, H, W), what the network sees.
        mean: (B, C, H, W), the Wiener filter's estimate of x_0.
        deviation: (B, 1, 1, 1), standard deviation of x_0 around it; above 0.
    """

    inputs: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor


def precondition(
    gaussian: PixelGaussian,
    xt: torch.Tensor,
    alpha: torch.Tensor,
    sigma: torch.Tensor,
    views: torch.Tensor,
    sources: torch.Tensor,
) -> Preconditioned:
    """Compute all that surrounds the network, never in less than the precision of x_t.

    Args:
        gaussian: on the device of x_t.
        xt: (B, C, H, W) = alpha x_0 + sigma eps.
        alpha: (B,).
        sigma: (B,), above 0.
        views: (B,) indices, or the token for "not told".
        sources: (B,) indices, or the token for "not told".
    """
    with torch.no_grad(), torch.autocast(xt.device.type, enabled=False):
        group = gaussian.group(views, sources)
        mean = gaussian.posterior_mean(xt, alpha, sigma, group)
        left = gaussian.residual_deviation(alpha, sigma, group).view(-1, 1, 1, 1)
        centred = xt - alpha.view(-1, 1, 1, 1) * gaussian.mean[group]
        scaled = centred / gaussian.deviation(alpha, sigma, group).view(-1, 1, 1, 1)
    return Preconditioned(torch.cat([scaled, mean], dim=1), mean, left)
