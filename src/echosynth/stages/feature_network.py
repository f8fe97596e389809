"""Train the network whose features measure fidelity: a classifier on all real training images."""

from torch import nn

from echosynth.classifier.arms import TrainingSet
from echosynth.classifier.network import ClassifierCard, save
from echosynth.classifier.train import CurvePoint, train
from echosynth.common import paths
from echosynth.common.files import atomic_folder
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import read_split
from echosynth.stages import stage
from echosynth.tracking.runs import child_run

POINTS = 10  # of the curve


@stage
def main(params: Params) -> None:
    """Read the training set, write models/feature-network."""
    settings, architecture = params.fidelity.training, params.fidelity.architecture
    real = read_split(params.data.train_sources, "train")
    facts = {"architecture": architecture, "seed": params.fidelity.seed, "training": settings.model_dump()}
    with child_run("echo network", "echo", {"fidelity": facts}) as run:
        run.dataset("train", paths.ASSIGNMENT, "training")

        def on_evaluation(network: nn.Module, point: CurvePoint) -> None:
            speed = {"learning_rate": point.learning_rate, "images_per_second": point.images_per_second}
            run.metrics({"training_loss": point.loss, **speed}, point.step)

        data = TrainingSet(real.images, real.labels)
        trained = train(settings, architecture, params.fidelity.seed, data, on_evaluation, POINTS)
        run.metrics({"train_seconds": trained.seconds, "images": len(real.images)})
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
    with atomic_folder(paths.FEATURE_NETWORK) as part:
        save(part, trained.network, card)


if __name__ == "__main__":
    main()
