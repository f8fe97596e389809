"""Cells of the study: all of a training subset in one stage of DVC, side by side, against a stage for each cell.

The cells are those of Figure 5.17 with two fractions: four arms, six subsets, three seeds. Both ways are `dvc repro` in
a project of its own each time, with all stages in its dvc.yaml, of which those of some subsets run. The images are
noise, as times do not depend on what is shown. The store of the runs is made and the images are packed before the
clock starts, as both are done once for all cells.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from bench.loading import write_set
from bench.measurements import noise_images
from bench.results import Result, compared
from bench.starting import processor_seconds
from bench.trees import Tree
from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml
from echosynth.compute.device import Precision
from echosynth.config.parameters import Params
from echosynth.thesis.cells import SCORES
from echosynth.thesis.fractions import QUESTION, arms

TASK = "cells of the study"
TARGET = 1.5
SIDE, SOURCE = 32, "tmed2"
PIPELINE = Path("study/dvc.yaml")
COPIED = ("params", ".dvcignore", ".gitignore", "src")
PACK = """\
from echosynth.config.parameters import load_params
from echosynth.thesis.images import synthetic, training
from echosynth.tracking.store import connect
params = load_params()
connect(), training(params.data.train_sources), [synthetic(size) for size in params.split.subsets]
"""
Way = Literal["a stage for each subset", "a stage for each cell"]
SUBSETS: Way = "a stage for each subset"
CELLS: Way = "a stage for each cell"
Predictions = dict[str, bytes]  # "<subset>/<arm>/<seed>" -> its validation.csv


@dataclass(frozen=True)
class Sizes:
    """How much work a measurement does.

    Attributes:
        repeats: of both ways, in turns; the best ones count, as others only waited for somebody else.
        subsets: sizes of the training subsets, in images.
        timed: how many of these, the first ones, are trained on; all stand in dvc.yaml.
        fractions: of synthetic images; there are two arms more.
        seeds: of each arm.
        steps: of each training.
        validation: images that each network is scored on.
    """

    repeats: int = 1
    subsets: tuple[int, ...] = (100, 200, 400, 600, 800, 1000)
    timed: int = 1
    fractions: tuple[float, ...] = (0.5, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 160
    validation: int = 1000


QUICK = Sizes(1, (8, 16), 1, (1.0,), (0,), 1, 8)


def settings(sizes: Sizes) -> dict[str, Any]:
    """The project's params.yaml with what is measured here."""
    params: dict[str, Any] = read_yaml(Path("params.yaml"))
    first = sizes.subsets[0]
    params["ingest"]["size"] = SIDE
    params["data"]["train_sources"] = [SOURCE]
    params["split"]["subsets"] = list(sizes.subsets)
    params["arms"]["architectures"] = ["resnet18"]
    params["classifier"] |= {"budget": "steps", "steps": sizes.steps, "seeds": list(sizes.seeds)}
    params["study"] |= {"run": ["all"], "fractions": list(sizes.fractions), "rebalance_subsets": [first]}
    return params


def pipeline(way: Way, names: list[str]) -> dict[str, Any]:
    """What study/dvc.yaml holds: the stage of the study, or the same for each cell of these arms."""
    stage = read_yaml(PIPELINE)["stages"][QUESTION]
    if way == CELLS:
        item = "${item.size}", "${item.arm}", "${item.seed}"
        stage |= {
            "matrix": {"size": "${split.subsets}", "arm": names, "seed": "${classifier.seeds}"},
            "cmd": f"python -m one_cell {' '.join(item)}",
            "deps": [*stage["deps"], "one_cell.py"],
            "outs": [f"{SCORES}/{QUESTION}/{'-'.join(item)}"],
        }
    return {"vars": ["../params.yaml"], "stages": {QUESTION: stage}}


def write_pipeline(folder: Path, way: Way, sizes: Sizes, names: list[str]) -> None:
    """Write params.yaml and study/dvc.yaml."""
    (folder / "params.yaml").write_text(yaml.safe_dump(settings(sizes)))
    (folder / PIPELINE).parent.mkdir()
    # In this order of the keys DVC names the instances.
    (folder / PIPELINE).write_text(yaml.safe_dump(pipeline(way, names), sort_keys=False))


def targets(way: Way, sizes: Sizes, names: list[str]) -> list[str]:
    """The stages that run, by DVC's names."""
    timed = sizes.subsets[: sizes.timed]
    if way == SUBSETS:
        return [f"{PIPELINE}:{QUESTION}@all-{size}" for size in timed]
    return [f"{PIPELINE}:{QUESTION}@{size}-{arm}-{seed}" for size in timed for arm in names for seed in sizes.seeds]


def fill(folder: Path, sizes: Sizes) -> None:
    """Write the images: a source with its split, subsets of it and their synthetic sets."""
    training = 2 * max(sizes.subsets)
    real = training + sizes.validation
    images = noise_images(real + max(sizes.subsets), SIDE)
    ids = write_set(folder / paths.SOURCES / SOURCE, images[:real], SOURCE)
    split = ["train"] * training + ["validation"] * sizes.validation
    (folder / paths.SPLIT / "subsets").mkdir(parents=True)
    pd.DataFrame({"id": ids, "source": SOURCE, "split": split}).to_csv(folder / paths.ASSIGNMENT, index=False)
    for size in sizes.subsets:
        pd.DataFrame({"id": ids[:size]}).to_csv(folder / paths.subset_file(size), index=False)
        made = images[real : real + size]
        write_set(folder / paths.synthetic_set("diffusion", size), made, f"synthetic-{size}")


@contextmanager
def project(way: Way, sizes: Sizes, names: list[str]) -> Iterator[Tree]:
    """A project in a temporary folder in which nothing has run yet."""
    with tempfile.TemporaryDirectory(prefix="echosynth-bench-") as name:
        folder = Path(name)
        for entry in map(Path, COPIED):
            if entry.is_dir():
                shutil.copytree(entry, folder / entry, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(entry, folder)
        shutil.copy(Path(__file__).with_name("one_cell.py"), folder)
        write_pipeline(folder, way, sizes, names)
        fill(folder, sizes)
        tree = Tree(folder, PYTHONPATH=str(folder / "src"))
        tree.begin()
        tree.call("python", "-c", PACK)
        yield tree


def predictions(folder: Path) -> Predictions:
    """What the cells of a project predicted."""
    found = {}
    for file in sorted((folder / SCORES / QUESTION).glob("*/*/*/validation.csv")):
        instance, arm, seed = file.relative_to(folder / SCORES / QUESTION).parts[:3]
        found[f"{instance.partition('-')[0]}/{arm}/{seed}"] = file.read_bytes()
    return found


def measure(params: Params, sizes: Sizes) -> list[Result]:
    """Train the cells in both ways, in turns: by the clock, and in processor time, which others do not disturb.

    Raises:
        EchosynthError: a stage fails, or the two ways do not predict the same.
    """
    study = params.study.model_copy(update={"fractions": list(sizes.fractions)})
    names = arms(params.model_copy(update={"study": study}))
    each = len(names) * len(sizes.seeds)
    trained, whole = sizes.timed * each, len(sizes.subsets) * each
    found: list[Predictions] = []

    def run(way: Way) -> tuple[float, float]:
        with project(way, sizes, names) as tree:
            before = processor_seconds()
            seconds = tree.call("dvc", "repro", *targets(way, sizes, names))
            used = processor_seconds() - before
            found.append(predictions(tree.folder))
        if len(found[-1]) != trained or found[-1] != found[0]:
            raise EchosynthError(
                f"{way}: {len(found[-1])} of {trained} cells, or other predictions than before: the two ways do not "
                "train the same; compare bench/one_cell.py with echosynth.thesis.fractions"
            )
        return seconds, used

    turns = [(run(SUBSETS), run(CELLS)) for _ in range(sizes.repeats)]
    setting = (
        f"{trained} of {whole} cells, those of {sizes.timed} of {len(sizes.subsets)} subsets, {sizes.steps} steps; "
        f"resnet18, {SIDE} pixels; nothing multiplied"
    )
    other = f"{CELLS}, {whole} in dvc.yaml"
    return [
        compared(task, target, [ours[kind] for ours, _ in turns], [theirs[kind] for _, theirs in turns], other, setting)
        for kind, (task, target) in enumerate(((TASK, TARGET), (f"{TASK}, processor time", 1.0)))
    ]


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], list[Result]]]:
    """All of them.

    Args:
        params: the fractions are others here; the projects have params.yaml with their own sizes.
        quick: few cells and a step each, to see that it works.
        auto: no matter here: `classifier.precision` counts.
    """
    return [partial(measure, params, QUICK if quick else Sizes())]
