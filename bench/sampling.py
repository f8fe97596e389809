"""The solver of params.yaml against ancestral sampling over all steps, with the same weights: speed and distance."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from bench.results import Distances, Missing, Rate, Result, compared
from bench.training import seconds
from echosynth.classifier.network import load as load_classifier
from echosynth.common import paths
from echosynth.compute.device import Precision, pick_device
from echosynth.config.parameters import Params
from echosynth.diffusion.batches import Examples, known_examples
from echosynth.diffusion.model import DiffusionModel, load, read_card
from echosynth.diffusion.options import SolverParams
from echosynth.diffusion.sampling import CPU_BATCH, sample_batch
from echosynth.diffusion.solvers import network_evaluations
from echosynth.evaluation.features import echo_features
from echosynth.evaluation.fidelity import Ints, matched_counts, matched_draw
from echosynth.evaluation.frechet import Features, frechet_distance, kernel_distance
from echosynth.imagesets.dataset import read_split
from echosynth.imagesets.store import Images

TARGET = 30.0
TASK = "sampling, default solver against all steps"
DISTANCES = {"Frechet on echo features": frechet_distance, "kernel on echo features": kernel_distance}


@dataclass(frozen=True)
class Sizes:
    """How much is sampled.

    Attributes:
        images: of a set; cut to whole batches.
        batch_size: images that are computed together, the unit that is timed.
        sets: by our solver, each from other noise: their spread is the noise of the distance. Two or more.
        slow_sets: by ancestral sampling, from the noise of the first of them.
        evaluations: of ancestral sampling; None: all T.
    """

    images: int = 160
    batch_size: int = CPU_BATCH
    sets: int = 6
    slow_sets: int = 1
    evaluations: int | None = None


GPU = Sizes(1000, 250, 6, 2)
QUICK = Sizes(CPU_BATCH, CPU_BATCH, 2, 1, 20)


def largest_model() -> Path | None:
    """Folder of the diffusion model that saw most images; None when there is none."""
    folders = [card.parent for card in paths.DIFFUSION.glob("*/card.json")]
    seen = {
        folder: sum(sum(row.values()) for row in read_card(folder).training_images.values())
        for folder in sorted(folders)
    }
    return max(seen, key=lambda folder: seen[folder], default=None)


def measure_solvers(params: Params, sizes: Sizes) -> list[Result]:
    """Compare the solvers with the largest model that there is.

    Returns:
        The comparison of times and the distances on echo features, or what is missing.
    """
    model = largest_model()
    needed = {
        "a model in models/diffusion": model,
        **{str(p): p.exists() for p in (paths.FEATURE_NETWORK, paths.ASSIGNMENT)},
    }
    if model is None or not all(needed.values()):
        missing = ", ".join(name for name, there in needed.items() if not there)
        return [
            Missing(TASK, f"it needs trained networks and real images, and {missing} is not there: run `make demo`")
        ]
    card, network = read_card(model), load_classifier(paths.FEATURE_NETWORK, pick_device())[0]
    validation, test = (
        known_examples(read_split(params.data.train_sources, split), card.sources) for split in ("validation", "test")
    )
    return compare_solvers(
        load(model, pick_device()),
        validation,
        test,
        lambda images: echo_features(network, images),
        params.sample,
        params.diffusion.precision,
        params.sample.seed,
        sizes,
        f"{card.size} x {card.size}, weights of {model}",
    )


def compare_solvers(
    model: DiffusionModel,
    real: Examples,
    other_real: Examples,
    features: Callable[[Images], Features],
    options: SolverParams,
    precision: Precision,
    seed: int,
    sizes: Sizes,
    setting: str,
) -> list[Result]:
    """Sample with `options` and with ancestral sampling over all steps, batch by batch in turns.

    Args:
        model: that samples.
        real: distances are to these; sets have their mixture of views and sources.
        other_real: further real images: what they reach in the same mixture of views is the floor.
        features: images (N, S, S) uint8 -> (N, D).
        options: our solver.
        precision: of both.
        seed: of the noise; each further set takes the next one.
        sizes: how much.
        setting: model and sizes in words.
    """
    batches = max(1, sizes.images // sizes.batch_size)
    count = batches * sizes.batch_size
    all_steps = sizes.evaluations or model.process.timesteps
    slow = options.model_copy(update={"solver": "ancestral", "evaluations": all_steps, "eta": 0.0})
    ways = [options] * sizes.sets + [slow] * sizes.slow_sets
    seeds = [seed + number for number in (*range(sizes.sets), *range(sizes.slow_sets))]
    rows = np.resize(np.random.default_rng(seed).permutation(len(real)), count)
    made: list[list[Images]] = [[] for _ in ways]
    our_laps: list[float] = []
    slow_laps: list[float] = []
    laps = [our_laps] * sizes.sets + [slow_laps] * sizes.slow_sets

    def sample(numbers: range, way: SolverParams, its_seed: int, into: list[Images]) -> None:
        shown = rows[numbers.start : numbers.stop]
        into.append(sample_batch(model, real.views[shown], real.sources[shown], numbers, its_seed, way, precision))

    for first in range(0, count, sizes.batch_size):
        numbers = range(first, first + sizes.batch_size)
        for way, its_seed, into, times in zip(ways, seeds, made, laps, strict=True):
            times.append(seconds(partial(sample, numbers, way, its_seed, into)))
    reference, found = features(real.images), [features(np.concatenate(images)) for images in made]
    drawn = _like(real.views[rows].numpy(), other_real.views.numpy(), seed)
    floor = features(other_real.images[drawn])
    fast_words, slow_words = (
        f"{way.solver} with {network_evaluations(way, model.process)} evaluations" for way in (options, slow)
    )
    size, batched = sizes.batch_size, f"{setting}, batches of {sizes.batch_size}"
    both = f"{setting}, {fast_words} against {slow_words}"
    return [
        *(
            Rate("sampling", size / min(times), "images", size, tuple(times), f"{batched}, {text}")
            for times, text in ((our_laps, fast_words), (slow_laps, slow_words))
        ),
        compared(TASK, TARGET, our_laps, slow_laps, slow_words, f"{batched}, {fast_words}"),
        *(
            _distances(task, [distance(own, reference) for own in (*found, floor)], sizes.sets, count, both)
            for task, distance in DISTANCES.items()
        ),
    ]


def _distances(task: str, found: Sequence[float], sets: int, images: int, setting: str) -> Distances:
    """The row of one kind of distance: those of `sets` sets of ours, then of others, then the floor."""
    *values, floor = found
    ours, others = tuple(values[:sets]), tuple(values[sets:])
    error = stdev(ours) * math.sqrt(1 / len(ours) + 1 / len(others))
    difference = (mean(others) - mean(ours)) / error if error else 0.0
    return Distances(task, ours, others, difference, floor, images, setting)


def _like(views: Ints, available: Ints, seed: int) -> Ints:
    """Indices into `available`: the mixture of `views`, as many as there are of each."""
    return matched_draw(available, matched_counts([views, available], len(views)), np.random.default_rng(seed))
