"""Train the network whose features measure fidelity: a classifier on all real training images."""

from echosynth import paths
from echosynth.classify.arms import TrainingSet
from echosynth.classify.network import ClassifierCard, save
from echosynth.classify.train import train
from echosynth.config import Params
from echosynth.files import atomic_folder
from echosynth.images.dataset import read_split
from echosynth.stages import stage


@stage
def main(params: Params) -> None:
    """Read the training set, write models/echo."""
    settings, architecture = params.fidelity.training, params.fidelity.architecture
    real = read_split(params.data.train_sources, "train")
    trained = train(settings, architecture, params.fidelity.seed, TrainingSet(real.images, real.labels))
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
    with atomic_folder(paths.ECHO) as part:
        save(part, trained.network, card)


if __name__ == "__main__":
    main()
