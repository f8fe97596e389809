"""The solver against the exact solution for Gaussian data, and the independence of image n."""

import numpy as np
import pytest
import torch

from echosynth.diffusion.network import ViewDenoiser
from echosynth.diffusion.process import Process
from echosynth.diffusion.sample import dpm_solver_pp, image_noise, sample_views, step_grid, view_of

MEAN, SPREAD = 0.3, 0.5


def exact_denoiser(process: Process):  # type: ignore[no-untyped-def]
    """E[x_0 | x_t] when x_0 is normal with MEAN and SPREAD."""

    def predict(x: torch.Tensor, t: int) -> torch.Tensor:
        alpha, sigma = process.alpha[t], process.sigma[t]
        gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
        return MEAN + gain * (x - alpha * MEAN)

    return predict


def solver_error(evaluations: int) -> float:
    """Largest distance from the exact solution of the probability-flow equation at the last step."""
    process = Process("linear", 1000, "x0")
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    first = float(process.alpha[-1]), float(np.sqrt(process.alpha[-1] ** 2 * SPREAD**2 + process.sigma[-1] ** 2))
    z = (noise - first[0] * MEAN) / first[1]  # the exact flow keeps this standardised coordinate
    alpha, sigma = process.alpha[0], process.sigma[0]
    x_end = alpha * MEAN + np.sqrt(alpha**2 * SPREAD**2 + sigma**2) * z
    exact = exact_denoiser(process)(x_end, 0)
    return float((dpm_solver_pp(process, exact_denoiser(process), noise, evaluations) - exact).abs().max())


def test_solver_converges_to_the_exact_flow() -> None:
    assert solver_error(20) < 0.03
    assert solver_error(160) < 1e-3


def test_solver_is_of_second_order() -> None:
    assert solver_error(40) / solver_error(80) > 2.8  # order 1 would give 2


def test_grid_runs_over_the_whole_process_once() -> None:
    process = Process("cosine", 1000, "v")
    grid = step_grid(process, 20)
    assert len(grid) == 20
    assert grid[0] == 999
    assert grid[-1] == 0
    assert (np.diff(grid) < 0).all()
    assert len(step_grid(Process("cosine", 10, "v"), 50)) <= 10


@pytest.fixture(scope="module")
def network() -> ViewDenoiser:
    torch.manual_seed(0)
    return ViewDenoiser(16, 2, (16, 32), 1, (1,), 0.0).eval()


def images(network: ViewDenoiser, numbers: range, batch_size: int, guidance: float = 1.0) -> np.ndarray:
    process = Process("cosine", 100, "v")
    return np.stack(list(sample_views(network, process, numbers, 16, 3, 4, guidance, batch_size, "fp32")))


def test_image_n_does_not_depend_on_batch_size_or_start(network: ViewDenoiser) -> None:
    whole = images(network, range(11), 11)
    assert np.array_equal(whole, images(network, range(11), 4))
    assert np.array_equal(whole[6:9], images(network, range(6, 9), 2))
    assert len(np.unique(whole.reshape(11, -1), axis=0)) == 11


def test_guidance_changes_images_and_zero_ignores_the_view(network: ViewDenoiser) -> None:
    assert not np.array_equal(images(network, range(4), 4), images(network, range(4), 4, guidance=3.0))


def test_noise_depends_on_seed_and_number_alone() -> None:
    assert np.array_equal(image_noise(1, 5, 8), image_noise(1, 5, 8))
    assert not np.array_equal(image_noise(1, 5, 8), image_noise(2, 5, 8))
    assert not np.array_equal(image_noise(1, 5, 8), image_noise(1, 6, 8))


def test_views_are_balanced() -> None:
    assert np.bincount([view_of(n) for n in range(40)]).tolist() == [10, 10, 10, 10]
