from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from echosynth.imagesets.dataset import LabelledImages
from echosynth.stages import diffusion


def test_snapshots_are_compared_by_a_distance_that_few_samples_do_not_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion, "load", lambda folder, device: (None, None))
    monkeypatch.setattr(diffusion, "echo_features", lambda network, images: images.reshape(len(images), -1) / 64.0)
    rng = np.random.default_rng(0)

    def pictures(count: int, level: int = 128) -> np.ndarray:
        return rng.integers(level - 40, level + 40, (count, 4, 4), dtype=np.uint8)

    score = diffusion.echo_score(cast(LabelledImages, SimpleNamespace(images=pictures(400))))
    few, many = ([score(pictures(count)) for _ in range(20)] for count in (10, 200))
    assert min(few) < 0 < max(few)  # as an estimate without bias is, of sets that are alike
    assert abs(np.mean(few)) < 3 * np.std(few) / 20**0.5 and abs(np.mean(many)) < 3 * np.std(many) / 20**0.5 + 1e-3
    assert score(pictures(10, level=160)) > max(few)


def test_a_network_that_adds_nothing_to_the_gaussian_is_told_of() -> None:
    assert "its loss is 99.7% of that of the Gaussian alone" in diffusion.learned_little({"loss_to_gaussian": 0.997})
    assert not diffusion.learned_little({"loss_to_gaussian": 0.9})
    assert not diffusion.learned_little({})  # without preconditioning
