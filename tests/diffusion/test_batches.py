"""What a training step draws."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from echosynth.common.errors import EchosynthError
from echosynth.diffusion.batches import Batch, Examples, draw_batch, known_examples
from echosynth.diffusion.network import NULL_VIEW
from echosynth.diffusion.options import DiffusionParams
from echosynth.diffusion.timesteps import UniformTimesteps
from echosynth.imagesets.dataset import LabelledImages

Settings = Callable[..., DiffusionParams]
NULL_SOURCE = 2


def drawn(params: DiffusionParams, data: Examples, step: int = 0, rows: slice = slice(None)) -> Batch:
    times = UniformTimesteps(params.timesteps)
    return draw_batch(params, data, (1, 16, 16), NULL_SOURCE, times, step, rows, torch.device("cpu"))


def test_processes_share_the_batch_that_one_would_draw(settings: Settings, data: Examples) -> None:
    params = settings(augment=0.5)
    whole = drawn(params, data, 3)
    first, second = drawn(params, data, 3, slice(0, 4)), drawn(params, data, 3, slice(4, 8))
    for part, a, b in zip(whole, first, second, strict=True):
        assert torch.equal(part, torch.cat([a, b]))
    assert not torch.equal(whole.noise, drawn(params, data, 4).noise)


def test_view_and_source_are_hidden_independently(settings: Settings, data: Examples) -> None:
    batch = drawn(settings(batch_size=4000, view_dropout=0.3, source_dropout=0.6), data)
    no_view, no_source = batch.views == NULL_VIEW, batch.sources == NULL_SOURCE
    shares = [mask.float().mean().item() for mask in (no_view, no_source, no_view & no_source)]
    assert np.allclose(shares, [0.3, 0.6, 0.18], atol=0.03)  # four standard errors
    shown = ~no_view & ~no_source
    assert torch.equal(batch.views[shown] % 2, batch.sources[shown])  # the pairs of the data


def test_without_conditioning_no_source_is_told(settings: Settings, data: Examples) -> None:
    assert (drawn(settings(source_conditioning=False), data).sources == NULL_SOURCE).all()


def test_images_are_those_of_the_data(settings: Settings, data: Examples) -> None:
    batch = drawn(settings(augment=0.0), data)
    known = {image.tobytes() for image in data.images}
    pictures = ((batch.x0[:, 0] + 1) * 127.5).round().numpy().astype(np.uint8)
    assert all(picture.tobytes() in known for picture in pictures)


def test_a_share_of_the_images_is_changed_and_says_how(settings: Settings, data: Examples) -> None:
    batch = drawn(settings(batch_size=2000, augment=0.4, augment_share=0.25), data)
    changed = batch.amounts.any(1)
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert batch.amounts.abs().max() <= 0.4
    known = torch.from_numpy(data.images).flatten(1).float()
    apart = torch.cdist((batch.x0.flatten(1) + 1) * 127.5, known).min(1).values
    assert apart[~changed].max() < 0.1  # grey levels over the whole picture
    assert apart[changed].min() > 10


def test_images_of_unknown_sources_are_left_out() -> None:
    labelled = LabelledImages(
        np.zeros((3, 16, 16), np.uint8), np.array([0, 1, 2]), np.array(["g"] * 3), np.array(["b", "x", "a"]),
        np.array(["1", "2", "3"]),
    )  # fmt: skip
    kept = known_examples(labelled, ["a", "b"])
    assert (kept.views.tolist(), kept.sources.tolist()) == ([0, 2], [1, 0])
    assert len(known_examples(labelled, [])) == 3
    with pytest.raises(EchosynthError, match="no image of the sources"):
        known_examples(labelled, ["c"])
