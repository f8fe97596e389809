"""The classifiers, one function a measurement: the work of a stage at the sizes of params.yaml, on fewer images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from bench.results import Rate, rate, timed
from echosynth.classifier import network as classifiers
from echosynth.classifier.train import train as train_classifier
from echosynth.common.arrays import Images
from echosynth.common.views import VIEWS
from echosynth.compute.device import Precision, pick_device
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages

SEED = 0


@dataclass(frozen=True)
class Sizes:
    """How much work a measurement does.

    Attributes:
        repeats: each is done so often; the best time counts, as others only waited for something.
        steps: optimisation steps of a training.
        batch_size: images a step; None: as params.yaml says.
        classified: images that are classified.
    """

    repeats: int = 3
    steps: int = 8
    batch_size: int | None = None
    classified: int = 1000


QUICK = Sizes(1, 1, 4, 8)


def noise_images(count: int, size: int) -> Images:
    """(count, size, size) uint8: how long training takes does not depend on what is pictured."""
    return np.random.default_rng(SEED).integers(0, 256, (count, size, size), dtype=np.uint8)


def view_labels(count: int) -> torch.Tensor:
    """(count,) int64: the views in turn."""
    return torch.arange(count) % len(VIEWS)


def measure_classifier_training(params: Params, sizes: Sizes, precision: Precision) -> Rate:
    """Train the first classifier of params.yaml for a few steps."""
    batch_size = sizes.batch_size or params.classifier.batch_size
    settings = params.classifier.model_copy(
        update={
            "budget": "steps",
            "steps": sizes.steps,
            "batch_size": batch_size,
            "evaluations": 1,
            "precision": precision,
        }
    )
    size, architecture = params.ingest.size, params.arms.architectures[0]
    names = np.full(4 * batch_size, "noise")
    data = LabelledImages(noise_images(len(names), size), view_labels(len(names)).numpy(), names, names, names)
    return rate(
        "classifier training",
        "images",
        sizes.steps * batch_size,
        f"{architecture}, {size} x {size}, batches of {batch_size}, {precision}",
        sizes.repeats,
        lambda: train_classifier(settings, architecture, SEED, data).seconds,
    )


def measure_classifier_inference(params: Params, sizes: Sizes) -> Rate:
    """Classify prepared images with the first classifier of params.yaml, in fp32 as everywhere in the project."""
    size, architecture = params.ingest.size, params.arms.architectures[0]
    network = classifiers.build(architecture, size).to(pick_device()).eval()
    images = noise_images(sizes.classified, size)
    return rate(
        "classifier inference",
        "images",
        len(images),
        f"{architecture}, {size} x {size}, fp32",
        sizes.repeats,
        timed(lambda: classifiers.predict(network, images)),
    )


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], Rate]]:
    """All of them, in the order of the pipeline.

    Args:
        params: networks and sizes.
        quick: tiny sizes, to see that it works.
        auto: what that precision stands for on this machine.
    """
    sizes = QUICK if quick else Sizes()
    precisions: tuple[Precision, ...] = ("fp32",) if auto == "fp32" else ("fp32", auto)
    return [
        *(partial(measure_classifier_training, params, sizes, precision) for precision in precisions),
        partial(measure_classifier_inference, params, sizes),
    ]
