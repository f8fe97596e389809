"""Recipes: what batches hold, and how the loss weighs them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from echosynth.classifier.recipes import Batches, Recipe, balanced_weights, batch_indices
from echosynth.compute.device import to_tensor
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.sector import sectors

LABELS = np.array([0] * 3 + [1] * 12 + [2] * 24 + [3] * 2)


def cones(labels: np.ndarray = LABELS) -> LabelledImages:
    """Bright triangles of several heights, each on a background of its own grey level."""
    count = len(labels)
    rows, columns = np.mgrid[:32, :32]
    images = np.zeros((count, 32, 32), np.uint8)
    for number, image in enumerate(images):
        image[:] = number % 3
        image[(np.abs(columns - 15.5) < rows * 0.6) & (rows < 18 + number % 8)] = 100 + number
    names = np.array([f"tmed2-{number}" for number in range(count)])
    return LabelledImages(images, labels, names, np.full(count, "tmed2"), names)


def test_the_plain_recipe_is_what_trainings_were() -> None:
    data = cones()
    batches, pixels, labels = Batches(Recipe(), data, 32, 7), to_tensor(data.images), torch.from_numpy(data.labels)
    for step in range(4):
        x, targets = batches.draw(step)
        pick = batch_indices(len(pixels), 32, 7, step)
        assert torch.equal(x, pixels[pick])
        assert torch.equal(targets, labels[pick])
        logits = torch.randn(32, 4)
        assert torch.equal(batches.loss(logits, targets), F.cross_entropy(logits, labels[pick]))


def test_weights_are_those_of_scikit_learn() -> None:
    wanted = compute_class_weight("balanced", classes=np.arange(4), y=LABELS)
    assert balanced_weights(torch.from_numpy(LABELS)).tolist() == pytest.approx(wanted.tolist())
    some = LABELS[LABELS != 1]
    wanted = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=some)
    assert balanced_weights(torch.from_numpy(some)).tolist() == pytest.approx([wanted[0], 0, *wanted[1:]])


def test_weighted_loss_by_its_formula() -> None:
    batches = Batches(Recipe(class_weights=True), cones(), 16, 0)
    _, targets = batches.draw(0)
    logits = torch.randn(16, 4)
    weights = len(LABELS) / (4 * np.bincount(LABELS))
    odds = np.exp(logits.numpy().astype(np.float64))
    each = -np.log(odds[range(16), targets] / odds.sum(1))
    mine = weights[targets]
    assert batches.loss(logits, targets).item() == pytest.approx((mine * each).sum() / mine.sum(), rel=1e-5)


@pytest.mark.parametrize("batch_size", [8, 7, 3])
def test_balanced_batches_hold_the_views_equally_often(batch_size: int) -> None:
    batches = Batches(Recipe(balanced=True), cones(), batch_size, 1)
    drawn = [batches.draw(step) for step in range(24)]
    for _, targets in drawn:
        counts = torch.bincount(targets, minlength=4)
        assert len(targets) == batch_size
        assert counts.max() - counts.min() <= 1
    x, targets = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    assert torch.bincount(targets).max() - torch.bincount(targets).min() <= 1
    for view in range(4):  # all images of a view before one comes again
        grey = x[targets == view].amax((1, 2, 3))
        size = int((view == LABELS).sum())
        for first in range(0, len(grey) - size + 1, size):
            assert len(set(grey[first : first + size].tolist())) == size
    again = Batches(Recipe(balanced=True), cones(), batch_size, 1).draw(5)
    assert torch.equal(again[0], drawn[5][0])
    other = Batches(Recipe(balanced=True), cones(), batch_size, 2)
    assert any(not torch.equal(other.draw(step)[0], drawn[step][0]) for step in range(6))


def test_balanced_batches_take_turns_among_the_views_that_there_are() -> None:
    batches = Batches(Recipe(balanced=True), cones(LABELS[LABELS != 1]), 6, 1)
    assert torch.bincount(batches.draw(3)[1], minlength=4).tolist() == [2, 0, 2, 2]


def test_mixup_mixes_pixels_and_labels_by_one_share() -> None:
    data = cones()
    data.images[:] = (data.labels * 60)[:, None, None]  # the grey level says the view
    x, targets = Batches(Recipe(mixing="mixup", alpha=1.0), data, 41, 3).draw(2)
    assert targets.sum(1).numpy() == pytest.approx(np.ones(41), abs=1e-6)
    grey = (x.mean((1, 2, 3)) + 1) * 127.5
    assert grey.numpy() == pytest.approx((targets @ (torch.arange(4.0) * 60)).numpy(), abs=1e-3)
    assert ((targets > 0).sum(1) == 2).any()
    logits = torch.randn(41, 4)
    formula = -(targets * logits.log_softmax(1)).sum(1).mean()
    assert Batches(Recipe(), data, 41, 3).loss(logits, targets).item() == pytest.approx(formula.item())


def test_shares_of_mixup_are_of_the_beta_distribution() -> None:
    data = cones()
    data.images[:] = (np.arange(len(LABELS)) * 6)[:, None, None]
    data = data.rows(np.array([0, 40]))  # two grey levels
    batches = Batches(Recipe(mixing="mixup", alpha=0.5), data, 512, 0)
    shares = (batches.draw(0)[0][:, 0, 0, 0] + 1) * 127.5 / 240
    mixed = shares[(shares > 1e-4) & (shares < 1 - 1e-4)]
    assert 0.4 < len(mixed) / 512 < 0.6  # the others met their like
    assert mixed.mean().item() == pytest.approx(0.5, abs=0.06)
    assert mixed.var().item() == pytest.approx(1 / 8, abs=0.02)  # of Beta(a, a): 1 / (4 (2 a + 1))


def test_backmix_keeps_the_sector_and_changes_what_is_behind_it() -> None:
    data = cones()
    pixels, masks = to_tensor(data.images), torch.from_numpy(sectors(data.images))[:, None]
    x, targets = Batches(Recipe(mixing="backmix"), data, 41, 0).draw(0)
    pick = batch_indices(41, 41, 0, 0)
    assert torch.equal(targets, torch.from_numpy(data.labels)[pick])
    assert torch.equal(x[masks[pick]], pixels[pick][masks[pick]])
    corners, before = x[:, 0, 0, 0], pixels[pick][:, 0, 0, 0]
    assert 0.4 < (corners != before).float().mean() < 0.9  # two of three backgrounds are others
    assert {round(float(grey + 1) * 127.5) for grey in corners} == {0, 1, 2}  # of the set; and nothing of a sector
    outside = ~masks[pick]
    assert x[outside].max() < -0.9  # no sector of another image shows: it is black there
