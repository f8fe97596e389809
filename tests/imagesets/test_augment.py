"""Augmentation: small, reproducible, never a flip."""

import torch

from echosynth.compute.device import step_generator
from echosynth.imagesets.augment import MAX_ROTATION, augment


def corner() -> torch.Tensor:
    """A bright square in the upper left quarter of black pictures."""
    images = torch.full((64, 1, 32, 32), -1.0)
    images[:, :, 6:12, 6:12] = 1.0
    return images


def centres(images: torch.Tensor) -> torch.Tensor:
    """Centre of brightness (y, x) of each picture, in pixels from the middle."""
    light = (images[:, 0] + 1).clamp(min=0)
    axis = torch.arange(32.0) - 15.5
    total = light.sum((1, 2))
    return torch.stack([(light.sum(2) * axis).sum(1) / total, (light.sum(1) * axis).sum(1) / total], 1)


def test_strength_zero_changes_nothing() -> None:
    assert augment(corner(), 0.0, step_generator(0)) is not None
    assert torch.equal(augment(corner(), 0.0, step_generator(0)), corner())


def test_same_generator_same_pictures_and_each_its_own_way() -> None:
    first = augment(corner(), 1.0, step_generator(0))
    assert torch.equal(first, augment(corner(), 1.0, step_generator(0)))
    assert len(torch.unique(first.flatten(1), dim=0)) == 64
    assert first.min() >= -1
    assert first.max() <= 1


def test_nothing_is_mirrored_and_shifts_stay_small() -> None:
    moved = centres(augment(corner(), 1.0, step_generator(1)))
    assert (moved[:, 0] < 3).all()  # upper left stays on its side of the picture
    assert (moved[:, 1] < 3).all()
    far = (moved - centres(corner())).norm(dim=1)
    assert far.max() < 32 * 0.15 * 2**0.5 + 9.2 * (2 * MAX_ROTATION)
    assert far.mean() > 1


def test_what_comes_in_from_outside_is_black() -> None:
    white = augment(torch.ones(16, 1, 32, 32), 1.0, step_generator(2))
    assert white.min() == -1
