"""Known pictures are what their names say, and measures that are known too say it of them."""

from typing import Any

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.evaluation.known_pictures import COPIED, LEVELS, known_pictures, measured
from echosynth.imagesets.dataset import LabelledImages


def labelled(count: int, seed: int, first: int = 60) -> LabelledImages:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = (
        rng.integers(first, first + 60, (count, 16, 16)).astype(np.uint8)
        + (20 * labels).astype(np.uint8)[:, None, None]
    )
    names = np.array([f"image-{number}" for number in range(count)])
    return LabelledImages(images, labels, names, names, names)


HELD_OUT, TRAINING = labelled(40, 0), labelled(80, 1)
SETS = known_pictures(HELD_OUT, TRAINING, 0)


def test_a_view_that_nothing_was_trained_on_is_named() -> None:
    with pytest.raises(EchosynthError, match="none of view PSAX"):
        known_pictures(HELD_OUT, TRAINING.rows(TRAINING.labels < 3), 0)


def named(words: str) -> tuple[np.ndarray, np.ndarray]:
    """The only set whose name holds these words."""
    ((images, labels),) = (pictures for name, pictures in SETS.items() if words in name)
    return images.astype(float), labels


def test_all_have_the_views_of_the_held_out_images() -> None:
    for images, labels in SETS.values():
        assert images.dtype == np.uint8 and images.shape == HELD_OUT.images.shape
        assert np.bincount(labels).tolist() == [10, 10, 10, 10]


def test_they_are_what_their_names_say() -> None:
    real = HELD_OUT.images.astype(float)
    assert np.array_equal(named("other real")[0], real)
    noise = named("noise")[0] - real
    assert noise.std() == pytest.approx(LEVELS, rel=0.05) and abs(noise.mean()) < 0.5
    chequers = named("chequers")[0] - real
    assert np.array_equal(np.unique(chequers), [-LEVELS, LEVELS])
    assert np.array_equal(chequers[:, 1:], -chequers[:, :-1]) and np.array_equal(
        chequers[:, :, 1:], -chequers[:, :, :-1]
    )
    assert np.array_equal(named("mirrored")[0][..., ::-1], real)
    exchanged, labels = named("exchanged")
    assert np.array_equal(exchanged, real) and labels[:4].tolist() == [1, 0, 3, 2]
    blurred = named("blurred")[0]
    assert blurred.mean() == pytest.approx(real.mean(), abs=0.6)
    # Of white noise a Gaussian of deviation 1 leaves 1 / (4 pi) of the variance.
    inner = (slice(None), slice(4, -4), slice(4, -4))
    left = (blurred[inner] - blurred[inner].mean((1, 2), keepdims=True)).var() / real.var(axis=(1, 2)).mean()
    assert left == pytest.approx(1 / (4 * np.pi), rel=0.25)


def test_copies_and_means_are_of_training_images_of_their_view() -> None:
    copies, labels = named("copied")
    for view in range(4):
        own = TRAINING.images[TRAINING.labels == view].astype(float)
        distinct = np.unique(copies[labels == view], axis=0)
        assert len(distinct) == COPIED
        assert all((own == one).all((1, 2)).any() for one in distinct)
        mean = named("mean image")[0][labels == view]
        assert np.abs(mean - own.mean(0)).max() <= 0.5
    trained_on = SETS["training images"][0]
    assert len(np.unique(trained_on, axis=0)) == 40


def test_the_distance_sees_what_it_can_and_agreement_the_exchange() -> None:
    def features(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1)[:, :6].astype(float) / 16

    def judge(images: np.ndarray) -> Any:
        # The mean grey tells the view.
        return np.eye(4)[np.rint((images.mean((1, 2)) - 89.5) / 20).clip(0, 3).astype(int)]

    found = {row["name"]: row for row in measured(SETS, labelled(40, 2), features, judge, 100, 0)}
    assert list(found) == list(SETS)
    floor, noise = found["other real images"], found[f"noise of {LEVELS} grey levels"]
    assert noise["view_agreement"] == floor["view_agreement"] == 1
    exchanged = found["A2C and A4C, PLAX and PSAX exchanged"]
    assert exchanged["view_agreement"] == 0 and exchanged["frechet"] < 2 * floor["frechet"]
    assert found["the mean image of each view"]["frechet"] > 2 * floor["frechet"]


def test_distances_are_to_the_views_that_the_pictures_show() -> None:
    """Of pictures of two views alone, to the validation images of these: as if it held no other."""

    def features(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1)[:, :6].astype(float) / 16

    def judge(images: np.ndarray) -> Any:
        return np.eye(4)[np.zeros(len(images), int)]

    few, whole = labelled(40, 3), labelled(40, 2)
    few, same = few.rows(few.labels < 2), whole.rows(whole.labels < 2)
    sets = {"few": (few.images, few.labels), "none of them": (few.images, few.labels + 2)}
    first, other = measured(sets, whole, features, judge, 100, 0)
    assert first == measured({"few": sets["few"]}, same, features, judge, 100, 0)[0] and first["kernel"] is not None
    (nothing,) = measured({"none of them": sets["none of them"]}, same, features, judge, 100, 0)
    assert nothing["kernel"] is nothing["frechet"] is None and other["kernel"] is not None
