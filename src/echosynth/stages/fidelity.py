"""Measure how close one synthetic set is to the real validation images."""

import sys
from collections.abc import Callable
from pathlib import Path

from echosynth import paths
from echosynth.classify.network import load
from echosynth.config import FidelityParams, Params
from echosynth.device import pick_device
from echosynth.files import write_json
from echosynth.images.dataset import LabelledImages, read_labelled, read_split
from echosynth.images.store import Images
from echosynth.measure.features import echo_features, inception_features, load_inception
from echosynth.measure.fidelity import fidelity
from echosynth.measure.frechet import Features
from echosynth.stages import stage


def distances(
    features: Callable[[Images], Features],
    synthetic: LabelledImages,
    validation: LabelledImages,
    other: LabelledImages,
    settings: FidelityParams,
) -> dict[str, float]:
    """Distances on one kind of features."""
    return fidelity(
        features(synthetic.images),
        synthetic.labels,
        features(validation.images),
        validation.labels,
        features(other.images),
        other.labels,
        settings.count,
        settings.floor_repeats,
        settings.seed,
    )


@stage
def main(params: Params, size: str) -> None:
    """Read data/synthetic/<size>, write reports/fidelity/<size>."""
    settings = params.fidelity
    synthetic = read_labelled([paths.SYNTHETIC / size])
    validation = read_split(params.data.train_sources, "validation")
    # The echo network has seen the training images, so the floor needs real images that it has not seen. No choice
    # depends on it.
    other = read_split(params.data.train_sources, "test")
    echo, _ = load(paths.ECHO, pick_device())
    result = distances(lambda images: echo_features(echo, images), synthetic, validation, other, settings)
    metrics: dict[str, object] = {"subset": size, "count": result.pop("count"), "echo": result}
    weights = Path(settings.inception_weights)
    if weights.is_file():
        network = load_inception(weights)
        own = distances(lambda images: inception_features(network, images), synthetic, validation, other, settings)
        own.pop("count")
        metrics |= {"inception": own, "inception_missing": None}
    else:
        missing = f"No Inception distances: {weights} is not there; put that file of pytorch-fid's release there."
        metrics |= {"inception": None, "inception_missing": missing}
        print(missing, file=sys.stderr)
    write_json(paths.FIDELITY / size / "metrics.json", metrics)
    print(f"fidelity {size}: echo {result['frechet']:.2f}, floor {result['floor_frechet']:.2f}", file=sys.stderr)


if __name__ == "__main__":
    main()
