"""Random draws and tensors."""

import numpy as np
import torch

from echosynth.device import mixed_seed, step_generator, to_tensor


def test_draws_depend_on_seed_and_counters_alone() -> None:
    first = torch.randn(4, generator=step_generator(1, 2, 3))
    torch.randn(100)  # the global state plays no part
    assert torch.equal(first, torch.randn(4, generator=step_generator(1, 2, 3)))
    others = [(1, 2, 4), (1, 3, 3), (2, 2, 3), (1, 2)]
    assert len({mixed_seed(*words) for words in [(1, 2, 3), *others]}) == 5


def test_pictures_become_tensors_between_minus_one_and_one() -> None:
    tensor = to_tensor(np.array([[[0, 255], [51, 204]]], np.uint8))
    assert tensor.shape == (1, 1, 2, 2)
    assert torch.allclose(tensor.flatten(), torch.tensor([-1.0, 1.0, -0.6, 0.6]))
