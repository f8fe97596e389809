"""Draws of the baselines against the moments that they are to have."""

from itertools import combinations

import numpy as np
import pytest

from echosynth.baselines.draws import mixtures, pixel_gaussian

NUMBERS = np.arange(4000)


def group(images: int = 12) -> np.ndarray:
    """Grey enough that nothing is clipped; the last pixel is constant."""
    pictures = np.random.default_rng(1).integers(110, 146, (images, 2, 3), dtype=np.uint8)
    pictures[:, 1, 2] = 90
    return pictures


def test_the_gaussian_has_the_mean_and_the_unbiased_covariance_of_its_group() -> None:
    flat, drawn = group().reshape(12, 6), pixel_gaussian(group(), NUMBERS, 3).reshape(-1, 6).astype(float)
    wanted = np.cov(flat, rowvar=False)
    assert np.allclose(drawn.mean(0), flat.mean(0), atol=4 * np.sqrt(wanted.max() / len(NUMBERS)))
    assert np.allclose(np.cov(drawn, rowvar=False), wanted, atol=6 * wanted.max() / np.sqrt(len(NUMBERS)))
    assert (drawn[:, 5] == 90).all()  # a pixel that never differs
    # Of a normal variable 4.55 % lie beyond two deviations.
    beyond = np.abs(drawn[:, 0] - flat[:, 0].mean()) > 2 * np.sqrt(wanted[0, 0])
    assert 0.03 < beyond.mean() < 0.06


def test_what_is_beyond_black_and_white_is_clipped() -> None:
    drawn = pixel_gaussian(np.array([0, 255], np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8), NUMBERS, 0)
    assert ((drawn == 0).mean() > 0.2) and ((drawn == 255).mean() > 0.2)  # 127.5 + 180 z: 24 % on each side
    assert 0.4 < ((drawn > 0) & (drawn < 255)).mean() < 0.6


def test_a_mixture_lies_on_the_line_between_two_different_images_at_any_share_alike() -> None:
    pictures = np.random.default_rng(2).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    own = pictures.reshape(5, 64).astype(float)
    drawn = mixtures(pictures, NUMBERS[:500], 3, 1.0).reshape(-1, 64)
    shares = []
    for one in drawn:
        # The nearest point of each of the ten lines; grey values are rounded, so it is off by about a half.
        lines = [(own[j], own[i] - own[j]) for i, j in combinations(range(5), 2)]
        places = [np.clip(step @ (one - start) / (step @ step), 0, 1) for start, step in lines]
        off = [np.abs(start + share * step - one).max() for (start, step), share in zip(lines, places, strict=True)]
        assert min(off) < 0.75
        shares.append(places[int(np.argmin(off))])
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1 / 12, abs=0.02)  # of the uniform distribution


def test_alpha_says_how_near_the_images_themselves_they_stay() -> None:
    black_and_white = np.array([0, 255], np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    near, far = (mixtures(black_and_white, NUMBERS[:400], 0, alpha)[:, 0, 0] for alpha in (0.1, 50.0))
    assert ((near < 13) | (near > 242)).mean() > 0.7
    assert ((far > 90) & (far < 165)).mean() > 0.95


@pytest.mark.parametrize("draw", [pixel_gaussian, lambda *words: mixtures(*words, 1.0)])
def test_an_image_depends_on_its_number_and_the_seed_alone(draw) -> None:  # type: ignore[no-untyped-def]
    pictures = np.random.default_rng(2).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    whole = draw(pictures, NUMBERS[:200], 5)
    assert np.array_equal(draw(pictures, NUMBERS[150:153], 5), whole[150:153])
    assert not np.array_equal(draw(pictures, NUMBERS[:200], 6), whole)
    assert len(np.unique(whole.reshape(200, -1), axis=0)) > 195
    single = group(1)
    assert (draw(single, NUMBERS[:3], 5) == single).all()
