"""The Gaussians of the pixels against covariances, conjugate updates and Wiener filters written out in numpy."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.pixel_gaussian import (
    LOCAL_IMAGES,
    LOCAL_LENGTH,
    PRIOR_IMAGES,
    SMALLEST_VARIANCE,
    PixelGaussian,
)

Array = npt.NDArray[np.float64]
SIDE = 4
PIXELS = SIDE * SIDE
NO_VIEW, NO_SOURCE = 4, 2


def pictures(count: int, seed: int = 0, side: int = SIDE) -> torch.Tensor:
    """Correlated pictures in [-1, 1], the last pixel constant."""
    rng = np.random.default_rng(seed)
    flat = np.tanh(rng.standard_normal((count, side * side)) @ rng.standard_normal((side * side, side * side)) / side)
    flat[:, -1] = -1
    return torch.from_numpy(flat).float().view(count, 1, side, side)


def fitted(images: torch.Tensor, views: list[int], sources: list[int], directions: int = PIXELS) -> PixelGaussian:
    return PixelGaussian.fit(images, torch.tensor(views), torch.tensor(sources), 2, directions)


def one(gaussian: PixelGaussian, view: int, source: int) -> tuple[Array, Array]:
    """Mean (D,) and covariance (D, D) of a group, put together from what is stored."""
    row = gaussian.rows[view, source]
    u, v, r = (tensor[row].double().numpy() for tensor in (gaussian.directions, gaussian.variances, gaussian.rest))
    return gaussian.mean[row].double().numpy().ravel(), u.T @ np.diag(v - r) @ u + r * np.eye(u.shape[1])


def localised(rows: Array) -> Array:
    """Covariance of pictures, pixel by pixel: far pixels go together less than the pictures say, the more so the fewer
    there are."""
    covariance = np.cov(rows.T, bias=True)
    share = LOCAL_IMAGES / (len(rows) + LOCAL_IMAGES)
    for i in range(PIXELS):
        for j in range(PIXELS):
            distance = np.hypot(i // SIDE - j // SIDE, i % SIDE - j % SIDE)
            covariance[i, j] *= 1 - share + share * np.exp(-distance / LOCAL_LENGTH)
    return covariance


def updated(prior: tuple[Array, Array], rows: Array) -> tuple[Array, Array]:
    """Normal-inverse-Wishart update in the textbook's order: scatter matrices, then division by the counts."""
    n, k = len(rows), PRIOR_IMAGES
    mean = rows.mean(0)
    scatter = n * localised(rows) if n > 1 else 0
    apart = mean - prior[0]
    total = k * prior[1] + scatter + k * n / (k + n) * np.outer(apart, apart)
    return (k * prior[0] + n * mean) / (k + n), total / (k + n)


def flat(images: torch.Tensor) -> Array:
    return images.flatten(1).double().numpy()


def test_groups_shrink_towards_their_view_and_views_towards_all_images() -> None:
    """60 pictures: 30 of view 0 in two sources, 28 of view 1, two of view 2 (one in each source)."""
    images, views, sources = pictures(60), [0] * 30 + [1] * 28 + [2] * 2, [0] * 25 + [1] * 34 + [0]
    gaussian = fitted(images, views, sources)
    x = flat(images)
    everything = x.mean(0), localised(x)
    view = updated(everything, x[:30])
    for own, reference in (
        (one(gaussian, NO_VIEW, NO_SOURCE), everything),
        (one(gaussian, 0, NO_SOURCE), view),
        (one(gaussian, 0, 0), updated(view, x[:25])),
        (one(gaussian, 2, 1), updated(updated(everything, x[58:]), x[58:59])),  # a group of a single picture
        (one(gaussian, NO_VIEW, 1), updated(everything, x[25:59])),
    ):
        np.testing.assert_allclose(own[0], reference[0], atol=1e-5)
        np.testing.assert_allclose(own[1], reference[1], atol=3e-5)


def test_groups_without_pictures_are_their_parents() -> None:
    gaussian = fitted(pictures(20), [0] * 10 + [1] * 10, [0] * 20)
    assert gaussian.rows[3].unique().numel() == gaussian.rows[NO_VIEW, 1] + 1 == 1  # view 3, and source 1, have none
    assert gaussian.rows[0, 1] == gaussian.rows[0, NO_SOURCE]
    assert gaussian.rows[0, 0] == gaussian.rows[0, NO_SOURCE]  # the very same pictures count once


def test_a_single_picture_is_a_gaussian_too() -> None:
    image = pictures(1)
    gaussian = fitted(image, [2], [1])
    drawn = gaussian.sample(torch.tensor([2, 0]), torch.tensor([1, 0]), torch.randn(2, 1, SIDE, SIDE))
    assert torch.isfinite(drawn).all()
    assert (drawn - image).abs().max() < 6 * SMALLEST_VARIANCE**0.5


def test_constant_pixels_keep_a_floor_of_variance() -> None:
    mean, covariance = one(fitted(pictures(50), [0] * 50, [0] * 50), 0, 0)
    assert mean[-1] == pytest.approx(-1)
    assert covariance[-1, -1] == pytest.approx(SMALLEST_VARIANCE, rel=0.05)
    assert np.linalg.eigvalsh(covariance).min() > 0.9 * SMALLEST_VARIANCE


@pytest.mark.parametrize("local", [True, False], ids=["few pixels", "many pixels"])
@pytest.mark.parametrize("count", [12, 200], ids=["fewer pictures than pixels", "more"])
def test_few_directions_keep_the_largest_and_the_whole_variance(
    count: int, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not local:
        monkeypatch.setattr("echosynth.diffusion.pixel_gaussian.LARGEST_LOCAL", 10)
    images = pictures(count)
    gaussian = fitted(images, [0] * count, [0] * count, directions=5)
    covariance = localised(flat(images)) if local else np.cov(flat(images).T, bias=True)
    exact = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(gaussian.variances[0], exact[:5], rtol=1e-4)
    assert float(gaussian.rest[0]) == pytest.approx(exact[5:].sum() / 11, rel=1e-4)
    u = gaussian.directions[0].double()
    torch.testing.assert_close(u @ u.T, torch.eye(5, dtype=torch.float64), atol=1e-5, rtol=0)


def test_many_pictures_of_many_pixels_are_factored_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the leading directions are found without any square matrix, and always the same."""
    monkeypatch.setattr("echosynth.diffusion.pixel_gaussian.LARGEST_LOCAL", 100)
    images = pictures(150, side=12)
    exact = PixelGaussian.fit(images, torch.zeros(150, dtype=torch.long), torch.zeros(150), 0, 20)
    monkeypatch.setattr("echosynth.diffusion.pixel_gaussian.LARGEST_EXACT", 100)
    first, second = (
        PixelGaussian.fit(images, torch.zeros(150, dtype=torch.long), torch.zeros(150), 0, 20) for _ in range(2)
    )
    assert torch.equal(first.directions, second.directions)
    np.testing.assert_allclose(first.variances[0, :10], exact.variances[0, :10], rtol=0.02)
    assert float((first.directions[0, :5] @ exact.directions[0, :20].T).square().sum()) > 4.9


def test_new_pictures_are_not_believed_to_lie_among_a_few_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten pictures of 16 pixels span nine directions: the variance in the others must be of the size that further
    pictures have there, with localised statistics and with half as many directions as pictures."""
    new = flat(pictures(410))[10:]
    for largest in (10, 2048):
        monkeypatch.setattr("echosynth.diffusion.pixel_gaussian.LARGEST_LOCAL", largest)
        gaussian = fitted(pictures(410)[:10], [0] * 10, [0] * 10)
        mean, covariance = one(gaussian, 0, 0)
        surprise = np.einsum("ni,ij,nj->n", new - mean, np.linalg.inv(covariance), new - mean).mean() / PIXELS
        assert surprise < 30  # 1 for the true Gaussian, above 1000 for the plain covariance


def test_wiener_filter_and_its_residue_are_the_conditional_gaussian() -> None:
    """E and the variance of x_0 given x_t by solving with the whole covariance in float64, at all levels of noise."""
    images = pictures(40)
    gaussian = fitted(images, [0] * 20 + [1] * 20, [0] * 40, directions=9)
    levels = [(1.0, 0.0), (0.99999, 0.0045), (0.8, 0.6), (0.02, 0.9998), (0.0, 1.0)]
    xt = torch.randn(len(levels), 1, SIDE, SIDE)
    alpha, sigma = (torch.tensor(values) for values in zip(*levels, strict=True))
    views = torch.tensor([0, 1, 0, 1, NO_VIEW])
    group = gaussian.group(views, torch.full_like(views, NO_SOURCE))
    mean, deviation = gaussian.posterior_mean(xt, alpha, sigma, group), gaussian.residual_deviation(alpha, sigma, group)
    around = gaussian.deviation(alpha, sigma, group)
    for row, (a, s) in enumerate(levels):
        m, c = one(gaussian, int(views[row]), NO_SOURCE)
        whole = a**2 * c + s**2 * np.eye(PIXELS)
        gain = a * np.linalg.solve(whole, c).T
        np.testing.assert_allclose(flat(mean)[row], m + gain @ (flat(xt)[row] - a * m), atol=2e-5)
        left = np.trace(c - a * gain @ c) / PIXELS
        assert float(deviation[row]) == pytest.approx(max(left, 0) ** 0.5, rel=1e-3, abs=1e-6)
        assert float(around[row]) == pytest.approx((np.trace(whole) / PIXELS) ** 0.5, rel=1e-5)


def test_samples_have_the_mean_and_the_covariance() -> None:
    gaussian = fitted(pictures(40), [0] * 20 + [1] * 20, [0] * 40)
    views = torch.ones(40_000, dtype=torch.long)
    noise = torch.randn(40_000, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    x = flat(gaussian.sample(views, views, noise))
    mean, covariance = one(gaussian, 1, 1)
    np.testing.assert_allclose(x.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.02)


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    gaussian = fitted(pictures(40), [0] * 20 + [1] * 20, [0, 1] * 20)
    noise, views = torch.randn(8, 1, SIDE, SIDE), torch.tensor([0, 1, 0, 1, NO_VIEW, 3, 0, 1])
    together = gaussian.sample(views, torch.zeros(8, dtype=torch.long), noise)
    others = torch.where(torch.arange(8) == 1, views, 0)
    assert torch.equal(gaussian.sample(others, torch.zeros(8, dtype=torch.long), noise)[1], together[1])


def test_it_comes_back_from_disk(tmp_path: Path) -> None:
    gaussian = fitted(pictures(10), [0, 1] * 5, [0] * 10)
    gaussian.save(tmp_path / "gaussian.safetensors")
    again = PixelGaussian.load(tmp_path / "gaussian.safetensors")
    assert all(torch.equal(getattr(again, name), tensor) for name, tensor in vars(gaussian).items())


@pytest.mark.parametrize("damage", ["missing", "torn", "other"])
def test_damaged_statistics_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "gaussian.safetensors"
    if damage != "missing":
        fitted(pictures(10), [0] * 10, [0] * 10).save(path)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:200])
    if damage == "other":
        from safetensors.torch import save_file

        save_file({"mean": torch.zeros(1)}, path)
    with pytest.raises(EchosynthError, match=r"gaussian\.safetensors"):
        PixelGaussian.load(path)
