"""Train the network whose features measure fidelity: a classifier on all real training images."""

from torch import nn

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
            square_pixels=params.ingest.square_pixels,
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


if __name__ == "__main__":
    main()
