"""Features of real and synthetic images as points of a plane: figures 5.13, 5.14 and A.2 to A.6."""

from typing import Any

import numpy as np
import pandas as pd

from echosynth.classifier.arms import classifier_folder, has_weights
from echosynth.classifier.network import load
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.config.study import StudyParams
from echosynth.evaluation.embedding import check_perplexity, overlap_with_real, pca, scaled, stability, tsne
from echosynth.evaluation.features import echo_features
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis.images import subset, synthetic, validation

SEED = 42  # of t-SNE in the study
NEIGHBOURS = 30  # of a point, for what is kept of them
BINS = 25  # of each axis of the histograms
REPEATS = 20  # draws of halves of the real patients


def embed(params: Params) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Embed the features before the last layer of a classifier that was trained on all real images.

    Args:
        params: of the project. The classifier is that of arm `real`, the last subset, the first architecture and the
            first seed that kept its weights.

    Returns:
        A row for each image: set (training, validation, synthetic), view, source (diffusion of synthetic images), x and
        y by t-SNE and pca_x and pca_y by PCA, each scaled to 0 to 1 over all images; and what is to be known of them:
        classifier, images of each set, stability, overlap of the histograms by view.

    Raises:
        EchosynthError: there is no such classifier, or a perplexity does not fit the number of images.
    """
    study, sources, size = params.study, params.data.train_sources, str(params.split.subsets[-1])
    if "real" not in params.arms.real:
        raise EchosynthError("arms.real: the embedding needs classifiers of arm real; name it there")
    architecture = params.arms.architectures[0]
    folders = {seed: classifier_folder("real", size, architecture, seed) for seed in params.classifier.seeds}
    seed = next((seed for seed, folder in folders.items() if has_weights(folder)), params.classifier.seeds[0])
    network, _ = load(folders[seed], pick_device())
    found = {"training": subset(sources, size), "validation": validation(sources), "synthetic": synthetic(size)}
    sets = {name: _some(images, study.embedding_points) for name, images in found.items()}
    points = sum(len(images.labels) for images in sets.values())
    _check(study, points)
    features = np.concatenate([echo_features(network, images.images) for images in sets.values()])

    plane, axes = scaled(tsne(features, study.perplexities[0], study.iterations[0], SEED)), scaled(pca(features))
    labels = np.concatenate([images.labels for images in sets.values()])
    table = pd.DataFrame(
        {
            "set": np.repeat(list(sets), [len(images.labels) for images in sets.values()]),
            "view": np.array(VIEWS)[labels],
            "source": np.concatenate([*(sets[name].sources for name in ("training", "validation")), _named(sets)]),
            "x": plane[:, 0],
            "y": plane[:, 1],
            "pca_x": axes[:, 0],
            "pca_y": axes[:, 1],
        }
    )
    made = (table["set"] == "synthetic").to_numpy()
    groups = np.concatenate([images.groups for images in sets.values()])
    overlaps = {}
    for view in VIEWS:
        mine = (table["view"] == view).to_numpy()
        real = mine & ~made
        overlaps[view] = overlap_with_real(plane[real], groups[real], plane[mine & made], BINS, REPEATS, SEED)
    chosen = np.random.default_rng(SEED).permutation(len(features))[: study.stability_points]
    shown = study.perplexities[0], study.iterations[0]
    near = min(NEIGHBOURS, (len(chosen) - 1) // 3)
    metrics = {
        "classifier": {"architecture": architecture, "subset": size, "seed": seed},
        "perplexity": shown[0],
        "iterations": shown[1],
        "images": {name: len(images.labels) for name, images in sets.items()},
        "neighbours": near,
        "stability_points": len(chosen),
        "stability": stability(features[chosen], study.perplexities, study.iterations, near, shown, SEED),
        "overlap": overlaps,
    }
    return table, metrics


def _check(study: StudyParams, points: int) -> None:
    """Check that perplexities fit the numbers of points, before anything long begins."""
    for perplexity, number in ((study.perplexities[0], points), (max(study.perplexities), study.stability_points)):
        try:
            check_perplexity(perplexity, min(number, points))
        except EchosynthError as error:
            raise EchosynthError(f"study.perplexities, study.stability_points: {error}") from None


def _some(images: LabelledImages, most: int) -> LabelledImages:
    """At most so many of them, drawn at random, in their order."""
    if len(images.labels) <= most:
        return images
    return images.rows(np.sort(np.random.default_rng(SEED).permutation(len(images.labels))[:most]))


def _named(sets: dict[str, LabelledImages]) -> np.ndarray[Any, Any]:
    return np.full(len(sets["synthetic"].labels), "diffusion")
