"""Training and prediction of classifiers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from echosynth.classifier.network import ClassifierCard, build, load, predict, save
from echosynth.classifier.options import SMALLEST_SIDE, SMALLEST_SINGLE_SIDE, ClassifierParams, check_batch
from echosynth.classifier.recipes import batch_indices
from echosynth.classifier.timm_networks import create
from echosynth.classifier.train import CurvePoint, total_steps, train
from echosynth.common.errors import EchosynthError, OptionError
from echosynth.config.parameters import load_params
from echosynth.imagesets.dataset import LabelledImages

ROOT = Path(__file__).parents[2]


def settings(**changes: object) -> ClassifierParams:
    small = {"steps": 12, "batch_size": 16, "precision": "fp32"}
    return load_params(ROOT / "params.yaml").classifier.model_copy(update=small | changes)


def bars(count: int, seed: int) -> LabelledImages:
    """Noisy pictures with a bright bar at one of four places: easy, but not without training."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = rng.integers(0, 90, (count, 32, 32), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, label * 8 : label * 8 + 8] += 100
    names = np.array([f"tmed2-{number}" for number in range(count)])
    return LabelledImages(images, labels, names, np.full(count, "tmed2"), names)


def test_each_pass_takes_every_image_once_in_a_new_order() -> None:
    taken = torch.cat([batch_indices(10, 4, 7, step) for step in range(5)])
    assert sorted(taken[:10].tolist()) == list(range(10))
    assert sorted(taken[10:].tolist()) == list(range(10))
    assert taken[:10].tolist() != taken[10:].tolist()
    assert len(batch_indices(3, 8, 0, 0)) == 8  # a batch larger than the set


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(SMALLEST_SINGLE_SIDE))
def test_one_image_a_step_is_refused_where_batch_normalisation_fails_and_nowhere_else(architecture: str) -> None:
    network, smallest = create(architecture, 1, 4, 32).train(), SMALLEST_SINGLE_SIDE[architecture]
    key, least = "classifier.batch_size", SMALLEST_SIDE[architecture]

    def logits(images: int, size: int) -> torch.Tensor:
        found = network(torch.zeros(images, 1, size, size))
        return found if isinstance(found, torch.Tensor) else found[0]

    with torch.no_grad():
        if smallest:
            check_batch(key, 1, architecture, smallest)
            assert logits(1, smallest).shape == (1, 4)
        below = (smallest or 113) - 1
        if below >= least:
            with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
                network(torch.zeros(1, 1, below, below))
            with pytest.raises(OptionError, match=rf"^{key} = 1 is too few for {architecture}"):
                check_batch(key, 1, architecture, below)
        assert logits(2, least).shape == (2, 4)
    check_batch(key, 2, architecture, least)


def test_no_step_is_left_with_a_rest_of_one_image() -> None:
    """33 images at 32 a step are two steps an epoch; the second takes the last image and 31 of the next pass."""
    params = settings(budget="epochs", epochs=1, batch_size=32)
    assert total_steps(params, 33) == 2
    taken = [batch_indices(33, 32, 0, step) for step in range(2)]
    assert [len(pick) for pick in taken] == [32, 32]
    assert sorted(torch.cat(taken)[:33].tolist()) == list(range(33))
    assert len(set(taken[1].tolist())) >= 31


def test_budget_is_steps_or_epochs() -> None:
    assert total_steps(settings(budget="steps", steps=5), 1000) == 5
    assert total_steps(settings(budget="epochs", epochs=25, batch_size=32), 1000) == 25 * 32


@pytest.mark.slow
def test_it_learns_what_held_out_pictures_show() -> None:
    calls: list[CurvePoint] = []

    def on_evaluation(network: nn.Module, point: CurvePoint) -> None:
        assert not network.training
        calls.append(point)

    trained = train(settings(steps=40, decay_every=0.9), "resnet18", 0, bars(128, 0), on_evaluation, 2)
    held_out = bars(40, 1)
    probabilities = predict(trained.network, held_out.images)
    assert [point.step for point in calls] == [20, 40]
    assert calls[1].loss < calls[0].loss
    assert (probabilities.argmax(1) == held_out.labels).mean() > 0.9
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_network_and_another_one_does_not() -> None:
    first, again, other = (train(settings(steps=3), "resnet18", seed, bars(64, 0)).network for seed in (0, 0, 1))
    images = bars(8, 1).images
    assert np.array_equal(predict(first, images), predict(again, images))
    assert not np.array_equal(predict(first, images), predict(other, images))


def test_evaluations_on_the_way_tell_rate_and_speed_and_change_nothing() -> None:
    points: list[CurvePoint] = []
    params = settings(steps=6, learning_rate=0.01, decay_every=0.5, decay_factor=0.1)
    watched = train(params, "resnet18", 0, bars(64, 0), lambda network, point: points.append(point), 3)
    plain = train(params, "resnet18", 0, bars(64, 0))
    assert [point.step for point in points] == [2, 4, 6]
    assert [point.learning_rate for point in points] == pytest.approx([0.01, 0.001, 0.001])
    seconds = sum(32 / point.images_per_second for point in points)  # two batches of 16 each
    assert seconds == pytest.approx(watched.seconds)
    for name, weights in watched.network.state_dict().items():
        assert torch.equal(weights, plain.network.state_dict()[name])


def test_prediction_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    network, images = build("resnet18", 32).eval(), bars(9, 0).images
    assert np.allclose(predict(network, images), predict(network, images, batch_size=2), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "size"), [("vgg16", 32), ("densenet121", 32), ("inception_v3", 32)])
def test_every_architecture_gives_four_logits(architecture: str, size: int) -> None:
    assert build(architecture, size).eval()(torch.zeros(2, 1, size, size)).shape == (2, 4)


def test_images_too_small_for_an_architecture_are_refused() -> None:
    with pytest.raises(EchosynthError, match=r"densenet121 needs ingest\.size of at least 32, it is 24"):
        build("densenet121", 24)


def test_stored_classifier_predicts_the_same_and_a_foreign_card_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("resnet18", 32).eval()
    card = ClassifierCard(
        size=32, resampling="area-cubic", architecture="resnet18", arm="real", subset="all", seed=0, steps=1,
        training_images={"A2C": 1}, synthetic_images=0, training_hash="00",
    )  # fmt: skip
    save(tmp_path, network, card)
    again, read = load(tmp_path, torch.device("cpu"))
    assert read == card
    assert np.array_equal(predict(network, bars(4, 0).images), predict(again, bars(4, 0).images))
    (tmp_path / "card.json").write_text((tmp_path / "card.json").read_text().replace("resnet18", "densenet121"))
    with pytest.raises(EchosynthError, match="does not fit its card"):
        load(tmp_path, torch.device("cpu"))


def test_a_loss_that_is_not_finite_stops_with_the_parameter_named() -> None:
    with pytest.raises(EchosynthError, match=r"classifier\.learning_rate"):
        train(settings(learning_rate=1e30), "resnet18", 0, bars(32, 0))
