"""Train the network whose features measure fidelity, a classifier on all real training images, and lay this yardstick
to pictures that are known."""

from functools import partial

import numpy as np
from torch import nn

from echosynth.baselines.draws import pixel_gaussian
from echosynth.classifier.network import ClassifierCard, predict, save
from echosynth.classifier.train import CurvePoint, train
from echosynth.common import paths
from echosynth.common.arrays import Images
from echosynth.common.files import atomic_folder, write_json
from echosynth.config.parameters import Params
from echosynth.evaluation.features import echo_features
from echosynth.evaluation.known_pictures import known_pictures, measured
from echosynth.imagesets.dataset import LabelledImages, read_split
from echosynth.stages import stage
from echosynth.tracking.runs import child_run

POINTS = 10  # of the curve


def gaussian(held_out: LabelledImages, training: LabelledImages, seed: int) -> Images:
    """Draw an image of the view of each held-out image (N, S, S) from the Gaussian of that view's training pixels."""
    made = np.empty_like(held_out.images)
    for view in np.unique(held_out.labels):
        numbers = np.flatnonzero(held_out.labels == view)
        made[numbers] = pixel_gaussian(training.images[training.labels == view], numbers, seed)
    return made


def lay_to_known_pictures(params: Params, network: nn.Module, training: LabelledImages) -> None:
    """Write reports/known_pictures.json."""
    settings, sources = params.fidelity, params.data.train_sources
    validation, test = read_split(sources, "validation"), read_split(sources, "test")
    sets = known_pictures(test, training, settings.seed)
    sets["a Gaussian of the pixels of each view"] = (gaussian(test, training, settings.seed), test.labels)
    features, judge = partial(echo_features, network), partial(predict, network)
    write_json(paths.KNOWN_PICTURES, measured(sets, validation, features, judge, settings.count, settings.seed))


@stage
def main(params: Params) -> None:
    """Read the real images, write models/feature-network and reports/known_pictures.json."""
    settings, architecture = params.fidelity.training, params.fidelity.architecture
    real = read_split(params.data.train_sources, "train")
    facts = {"architecture": architecture, "seed": params.fidelity.seed, "training": settings.model_dump()}
    name = "feature network"
    with child_run(name, "feature-network", {"fidelity": facts}) as run, atomic_folder(paths.FEATURE_NETWORK) as part:
        run.dataset("train", paths.ASSIGNMENT, "training")

        def on_evaluation(network: nn.Module, point: CurvePoint) -> None:
            values = {"training_loss": point.loss, "learning_rate": point.learning_rate}
            run.metrics(values, point.step, speed={"images_per_second": point.images_per_second})

        trained = train(settings, architecture, params.fidelity.seed, real, on_evaluation, POINTS)
        run.metrics({"images": len(real.images)}, speed={"train_seconds": trained.seconds})
        card = ClassifierCard(
            size=params.ingest.size,
            resampling=params.ingest.resampling,
            architecture=architecture,
            arm="real",
            subset="train",
            seed=params.fidelity.seed,
            steps=trained.steps,
            training_images=real.by_view(),
            synthetic_images=0,
            training_hash=real.hash(),
        )
        save(part, trained.network, card)
        run.save(part)
    lay_to_known_pictures(params, trained.network, real)


if __name__ == "__main__":
    main()
