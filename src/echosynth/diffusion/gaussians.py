"""Gaussians in the variational bound: their divergence, and the likelihood of values and of 8-bit pixels, in nats."""

import math

import torch

HALF_BIN = 1 / 255  # 256 grey values in [-1, 1] are 2/255 apart
EDGE = 0.999  # beyond it lie the first and the last grey value alone


def normal_kl(difference: torch.Tensor, log_variance: torch.Tensor, other_log_variance: torch.Tensor) -> torch.Tensor:
    """Compute the divergence KL(N(m, v) || N(m + difference, w)) of each element in closed form.

    Args:
        difference: of the two means. It is asked for instead of the means because it is often known without the
            rounding error of their subtraction.
        log_variance: log v, broadcast.
        other_log_variance: log w, broadcast.

    Returns:
        Nats, 0 or more, of the shape that all three broadcast to.
    """
    ratio = log_variance - other_log_variance
    return 0.5 * (torch.expm1(ratio) - ratio + difference.square() * torch.exp(-other_log_variance))


def gaussian_log_likelihood(x: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Compute the log density of N(mean, exp(log_variance)) at each element of x, in nats."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (x - mean).square() * torch.exp(-log_variance))


def discretized_gaussian_log_likelihood(
    x: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor
) -> torch.Tensor:
    """Compute the log probability of each 8-bit pixel: the Gaussian's mass in the bin around it, the first and the last
    bin being open (Ho et al. 2020, eq. 13).

    The bin is mirrored into the lower tail, where the logarithm of the distribution function keeps all its digits:
    no floor on the probability is needed, and the gradient never vanishes.

    Args:
        x: pixels in [-1, 1], 2/255 apart.
        mean: of the Gaussian, the shape of x.
        log_variance: of the Gaussian, broadcast.

    Returns:
        Nats, 0 or less, the shape of x.
    """
    scale = torch.exp(-0.5 * log_variance)
    centred = x - mean
    mirrored = -centred.abs()
    open_below, open_above = x < -EDGE, x > EDGE
    upper = torch.where(open_below, centred, torch.where(open_above, -centred, mirrored)) + HALF_BIN
    upper_tail = torch.special.log_ndtr(upper * scale)
    lower_tail = torch.special.log_ndtr((mirrored - HALF_BIN) * scale)
    # log(e^upper - e^lower); the smallest number keeps the logarithm finite when both round to the same value.
    inner = torch.log(-torch.expm1((lower_tail - upper_tail).clamp(max=-torch.finfo(x.dtype).tiny)))
    return upper_tail + torch.where(open_below | open_above, 0.0, inner)
