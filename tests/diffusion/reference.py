"""The papers' equations in float64 and plain numpy, written for the tests and without the project's code.

t counts from 0, so that betas[t] is the paper's beta_(t+1).
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Array = npt.NDArray[np.float64]


def linear_betas(timesteps: int) -> Array:
    """Ho et al. 2020, section 4, for T = 1000; the range times 1000 / T else."""
    first, last = 1e-4 * 1000 / timesteps, 0.02 * 1000 / timesteps
    return np.array([min(first + (last - first) * t / (timesteps - 1), 0.999) for t in range(timesteps)])


def cosine_alpha_bar(timesteps: int) -> Array:
    """Nichol & Dhariwal 2021, eq. 17: alpha_bar after each step, (T,)."""
    f = np.cos((np.arange(timesteps + 1) / timesteps + 0.008) / 1.008 * np.pi / 2) ** 2
    return f[1:] / f[0]


def sigmoid_alpha_bar(timesteps: int, start: float = -3, end: float = 3, tau: float = 1) -> Array:
    """Chen 2023, algorithm 1 (`sigmoid_schedule`), at t = 1/T ... 1."""

    def sigmoid(x: Array | float) -> Array:
        return 1 / (1 + np.exp(-np.asarray(x, dtype=np.float64)))

    t = np.arange(1, timesteps + 1) / timesteps
    v_start, v_end = sigmoid(start / tau), sigmoid(end / tau)
    return (v_end - sigmoid((t * (end - start) + start) / tau)) / (v_end - v_start)


def flow_alpha_bar(timesteps: int) -> Array:
    """Liu et al. 2023, eq. 1, at s = 1/T ... 1: the signal-to-noise ratio of (1 - s) x_0 + s eps is ((1 - s) / s)^2,
    and alpha_bar / (1 - alpha_bar) that of a process that preserves the variance."""
    s = np.arange(1, timesteps + 1) / timesteps
    ratio = ((1 - s) / s) ** 2
    return ratio / (1 + ratio)


def zero_snr_betas(betas: Array) -> Array:
    """Lin et al. 2023, algorithm 1, line by line."""
    alphas_bar_sqrt = np.sqrt((1 - betas).cumprod())
    first, last = alphas_bar_sqrt[0].copy(), alphas_bar_sqrt[-1].copy()
    alphas_bar_sqrt -= last
    alphas_bar_sqrt *= first / (first - last)
    alphas_bar = alphas_bar_sqrt**2
    alphas = alphas_bar[1:] / alphas_bar[:-1]
    return 1 - np.concatenate([alphas_bar[0:1], alphas])


def marginal(betas: Array, t: int) -> tuple[float, float]:
    """Factor of x_0 and variance of q(x_t | x_0): the single steps one after the other."""
    factor, variance = 1.0, 0.0
    for beta in betas[: t + 1]:
        factor, variance = factor * np.sqrt(1 - beta), variance * (1 - beta) + beta
    return factor, variance


def posterior(betas: Array, t: int, x0: Array, xt: Array) -> tuple[Array, float]:
    """Mean and variance of q(x_t-1 | x_t, x_0) for t > 0 by Bayes' rule: the prior q(x_t-1 | x_0) and the likelihood
    q(x_t | x_t-1), both Gaussian, multiply, and their precisions add."""
    factor, variance = marginal(betas, t - 1)
    likelihood_precision = (1 - betas[t]) / betas[t]
    precision = 1 / variance + likelihood_precision
    # The likelihood as a function of x_t-1 has its peak at x_t / sqrt(1 - beta).
    towards = xt * np.sqrt(1 - betas[t]) / betas[t]
    return (factor * x0 / variance + towards) / precision, 1 / precision


def log_variance(betas: Array, t: int, kind: str, fraction: Array | float = 0.0) -> Array:
    """Log variance of p(x_t-1 | x_t): Ho et al. 2020, section 3.2, and Nichol & Dhariwal 2021, eq. 15; at t = 0 that
    of t = 1, but for log beta in the learned range, as in their code."""
    zero = np.zeros(())
    small = np.log(posterior(betas, max(t, 1), zero, zero)[1])
    if kind == "fixed-small":
        return np.asarray(small)
    if kind == "fixed-large":
        return np.asarray(np.log(betas[t]) if t else small)
    return np.asarray(fraction * np.log(betas[t]) + (1 - fraction) * small)


def kl(mean: Array, variance: Array | float, other_mean: Array, other_variance: Array | float) -> Array:
    """KL(N(mean, variance) || N(other_mean, other_variance)) in nats."""
    ratio = variance / other_variance
    return 0.5 * (ratio - 1 - np.log(ratio) + (mean - other_mean) ** 2 / other_variance)


def pixel_nll(x: Array, mean: Array, variance: Array | float) -> Array:
    """Ho et al. 2020, eq. 13, in nats, with scipy's distribution function."""
    scale = np.sqrt(variance) * np.ones_like(x)
    high, low = norm.cdf(x + 1 / 255, mean, scale), norm.cdf(x - 1 / 255, mean, scale)
    return -np.log(np.where(x == 1, 1 - low, np.where(x == -1, high, high - low)))


def variational_term(betas: Array, t: int, x0: Array, xt: Array, estimate: Array, log_var: Array) -> float:
    """L_t-1 of Ho et al. 2020, eq. 5, in bits per dimension for one image of 8-bit pixels."""
    if t == 0:  # the posterior mean of the first step is the estimate itself
        return float(pixel_nll(x0, estimate, np.exp(log_var)).mean() / np.log(2))
    mean, variance = posterior(betas, t, x0, xt)
    model_mean, _ = posterior(betas, t, estimate, xt)
    return float(kl(mean, variance, model_mean, np.exp(log_var)).mean() / np.log(2))


def edm(sigma: float, data: float) -> tuple[float, float, float]:
    """c_skip, c_out and c_in of Karras et al. 2022, table 1, for x = x_0 + sigma eps."""
    root = np.sqrt(sigma**2 + data**2)
    return data**2 / root**2, sigma * data / root, 1 / root


def target(prediction: str, x0: Array, noise: Array, factor: float, variance: float, data: float = 0.5) -> Array:
    """What a network is to say, by each paper's words; EDM's as in its eq. 8."""
    a, s = factor, np.sqrt(variance)
    if prediction == "edm":
        skip, out, _ = edm(s / a, data)
        return (x0 - skip * (x0 + s / a * noise)) / out
    return {"epsilon": noise, "x0": x0, "v": a * noise - s * x0, "flow": noise - x0}[prediction]


def image_of(prediction: str, output: Array, xt: Array, factor: float, variance: float, data: float = 0.5) -> Array:
    """x_0 by solving x_t = a x_0 + s eps (and v = a eps - s x_0, or u = eps - x_0) for it; EDM's D as in its eq. 7."""
    if prediction == "x0":
        return output
    a, s = factor, np.sqrt(variance)
    if prediction == "epsilon":
        return (xt - s * output) / a
    if prediction == "edm":
        skip, out, _ = edm(s / a, data)
        return skip * (xt / a) + out * output
    if prediction == "flow":
        return np.linalg.solve([[a, s], [-1, 1]], np.stack([xt.ravel(), output.ravel()]))[0].reshape(xt.shape)
    return np.linalg.solve([[a, s], [-s, a]], np.stack([xt.ravel(), output.ravel()]))[0].reshape(xt.shape)
