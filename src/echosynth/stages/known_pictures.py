"""Lay the yardstick of synthetic sets to pictures of which one knows what is wrong with them."""

from functools import partial

import numpy as np

from echosynth.baselines.draws import pixel_gaussian
from echosynth.classifier.network import load, predict
from echosynth.common import paths
from echosynth.common.arrays import Images
from echosynth.common.files import write_json
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.evaluation.features import echo_features
from echosynth.evaluation.known_pictures import known_pictures, measured
from echosynth.imagesets.dataset import LabelledImages, read_split
from echosynth.stages import stage


def gaussian(held_out: LabelledImages, training: LabelledImages, seed: int) -> Images:
    """Draw an image of the view of each held-out image (N, S, S) from the Gaussian of that view's training pixels."""
    made = np.empty_like(held_out.images)
    for view in np.unique(held_out.labels):
        numbers = np.flatnonzero(held_out.labels == view)
        made[numbers] = pixel_gaussian(training.images[training.labels == view], numbers, seed)
    return made


@stage
def main(params: Params) -> None:
    """Read models/feature-network and the real images, write reports/known_pictures.json."""
    settings = params.fidelity
    training, validation, test = (
        read_split(params.data.train_sources, split) for split in ("train", "validation", "test")
    )
    network, _ = load(paths.FEATURE_NETWORK, pick_device())
    sets = known_pictures(test, training, settings.seed)
    sets["a Gaussian of the pixels of each view"] = (gaussian(test, training, settings.seed), test.labels)
    features, judge = partial(echo_features, network), partial(predict, network)
    write_json(paths.KNOWN_PICTURES, measured(sets, validation, features, judge, settings.count, settings.seed))


if __name__ == "__main__":
    main()
