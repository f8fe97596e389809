"""Tables 5.3, A.1 and A.2: networks with pretrained weights, frozen but for a new last layer, or fine-tuned."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from echosynth.classifier.arms import training_set
from echosynth.classifier.frozen import Features, frozen_features, head_dropout, predict_head, train_head
from echosynth.classifier.network import predict
from echosynth.classifier.options import ArmName
from echosynth.classifier.pretrained import find_weights, grey_network, read_pretrained, sha256_of
from echosynth.classifier.train import train as train_network
from echosynth.common import paths
from echosynth.common.files import atomic_folder
from echosynth.common.resume import ResumeState, code_hash
from echosynth.compute.device import pick_device
from echosynth.compute.side_by_side import side_by_side
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis.cells import SCORES, Cell, Outcome, name, note_left_out, run_cells
from echosynth.thesis.images import subset, synthetic, validation

QUESTION = "frozen"
ARMS: tuple[ArmName, ...] = ("real", "synthetic")


def run(params: Params, size: str) -> None:
    """Train every network with weights on the real images of one subset and on its synthetic ones, write
    reports/study/frozen/<size>; there left_out.json says which architectures are left out, and why."""
    files, left_out = weights_files(params)
    for architecture, reason in left_out.items():
        print(f"{architecture} is left out: {reason}", file=sys.stderr)
    with atomic_folder(SCORES / QUESTION / size):
        pass  # where nothing is left to be trained
    if files:
        _train_all(params, size, files)
    note_left_out(QUESTION, size, left_out)


def weights_files(params: Params) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the files with pretrained weights.

    Returns:
        Architecture -> file; and architecture -> why it is left out.
    """
    found, left_out = dict[str, Path](), dict[str, str]()
    for architecture, named in params.study.pretrained.items():
        if file := find_weights(named):
            found[architecture] = file
        else:
            left_out[architecture] = (
                f"study.pretrained: {named} is missing; put the file there and run the stage again with "
                "`dvc repro --force`, as DVC does not see what git ignores"
            )
    return found, left_out


def _train_all(params: Params, size: str, files: dict[str, Path]) -> None:
    """Train all cells of these architectures. Features are computed before, side by side, so that no training waits
    for those of another one, and forgotten after it."""
    sets = _sets(params, size)
    features: dict[str, tuple[str, str]] = {}
    if "frozen" in params.study.pretrained_ways:
        features = {
            f"features of {which} {size} by {architecture}": (architecture, which)
            for architecture in files
            for which in sets
        }
        side_by_side(partial(_features, params, size), features)
    cells = [
        Cell(arm, size, f"{architecture} {way}", seed)
        for architecture in files
        for way in params.study.pretrained_ways
        for arm in ARMS
        for seed in params.classifier.seeds
    ]
    run_cells(
        QUESTION,
        size,
        params,
        cells,
        train,
        [paths.subset_file(size), paths.synthetic_set("diffusion", size), *files.values()],
    )
    for architecture, which in features.values():
        _kept(params, architecture, sets[which]()).clear()


def train(params: Params, cell: Cell) -> Outcome:
    """Train one cell: a last layer on the features of a frozen network, or all of it."""
    architecture, way = cell.architecture.split(" ")
    real, held_out = subset(params.data.train_sources, cell.subset), validation(params.data.train_sources)
    data = training_set(cell.arm, real, synthetic(cell.subset), cell.seed)
    title, settings = name(QUESTION, cell), params.classifier
    if way == "frozen":
        known = features_of(params, architecture, data)
        found = train_head(settings, cell.seed, known.features, data.labels, known.dropout, name=title)
        probabilities = predict_head(found.network, features_of(params, architecture, held_out).features)
        seconds = known.seconds + found.seconds  # without its features there is no training
    else:
        network = _network(params, architecture, cell.seed)
        found = train_network(settings, architecture, cell.seed, data, name=title, network=network)
        probabilities, seconds = predict(found.network, held_out.images), found.seconds
    side = params.study.pretrained_size
    facts = {"way": way, "weights_sha256": _weights(params, architecture)[1], "pretrained_size": side}
    return Outcome(probabilities, len(data.labels), data.synthetic, found.steps, seconds, facts)


@dataclass(frozen=True)
class Known:
    """What a frozen network makes of a set.

    Attributes:
        features: (N, D) float32, what its last layer sees.
        dropout: the share of them that is dropped in a training.
        seconds: that computing them took.
    """

    features: Features
    dropout: float
    seconds: float


def features_of(params: Params, architecture: str, images: LabelledImages) -> Known:
    """Features of a set, computed once and kept until the stage ends."""
    state = _kept(params, architecture, images)
    if stored := state.load():
        tensors, facts = stored
        return Known(tensors["features"].numpy(), *(cast(float, facts[key]) for key in ("dropout", "seconds")))
    network, began = _network(params, architecture, 0).to(pick_device()), time.monotonic()
    features = frozen_features(network, images.images)
    known = Known(features, head_dropout(network), time.monotonic() - began)
    state.save({"features": torch.from_numpy(features)}, {"dropout": known.dropout, "seconds": known.seconds})
    return known


def _features(params: Params, size: str, task: tuple[str, str]) -> None:
    architecture, which = task
    features_of(params, architecture, _sets(params, size)[which]())


def _sets(params: Params, size: str) -> dict[str, Callable[[], LabelledImages]]:
    """The sets that features are computed of, most often the largest first."""
    sources = params.data.train_sources
    return {
        "synthetic images": partial(synthetic, size),
        "validation images": partial(validation, sources),
        "real images": partial(subset, sources, size),
    }


def _network(params: Params, architecture: str, seed: int) -> nn.Module:
    file, _ = _weights(params, architecture)
    return grey_network(read_pretrained(architecture, file), seed, params.study.pretrained_size or None)


def _kept(params: Params, architecture: str, images: LabelledImages) -> ResumeState:
    """Where the features of a set are kept."""
    return ResumeState(
        "features",
        [architecture, _weights(params, architecture)[1], params.study.pretrained_size, images.hash()],
        code_hash("echosynth.classifier.frozen", "echosynth.classifier.pretrained"),
    )


def _weights(params: Params, architecture: str) -> tuple[Path, str]:
    """The file of an architecture that has one, and its SHA-256."""
    file = weights_files(params)[0][architecture]
    return file, _sha256(file)


_sha256 = cache(sha256_of)
