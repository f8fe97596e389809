"""What tracking adds to a training of the demo: the same work with its run in MLflow and with one that writes nothing.

The work is that of the stage `classify` for one seed: train, score, write the files, and log parameters, data sets,
points of the curves and pictures. Pictures of noise take the place of echocardiograms, as times do not depend on what
is shown. The store is a fresh SQLite file like that of the demo.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import numpy as np

from bench.measurements import noise_images, view_labels
from bench.results import Comparison, Result, Share, compared
from echosynth.compute.device import Precision
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.stages import classify
from echosynth.tracking import store
from echosynth.tracking.runs import RunLogger, child_run

TARGET = 1 / 1.02  # tracking adds at most 2 %
TASK = "classifier training with its run in MLflow"
PICTURES = ("confusion_png", "precision_recall_png")  # what the stage makes for its run alone


@dataclass(frozen=True)
class Sizes:
    """How much work a measurement does.

    Attributes:
        repeats: trainings of each kind, in turns; the best ones count, as others only waited for somebody else.
        images: that are trained on.
        validated: that are scored at each evaluation, as many as in the demo.
        steps: of a training; None: as params.yaml says.
    """

    repeats: int = 5
    images: int = 1552
    validated: int = 199
    steps: int | None = None


QUICK = Sizes(1, 32, 16, 2)


class Timed:
    """A run that notes how long its methods take.

    Args:
        run: what is called; None: nothing, at once.
    """

    def __init__(self, run: RunLogger | None) -> None:
        self.run, self.seconds = run, 0.0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self.counted(getattr(self.run, name, None))

    def counted(self, function: Callable[..., Any] | None) -> Callable[..., Any]:
        """A function that serves the run alone: its time counts, and without a run it is not called."""

        def call(*values: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*values, **named) if self.run is not None and function is not None else None
            finally:
                self.seconds += time.perf_counter() - began

        return call


@contextmanager
def fresh_store() -> Iterator[Path]:
    """A workspace with an empty store, where this process tracks meanwhile; yields its folder."""
    kept = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="echosynth-bench-") as folder:
        for name in [name for name in kept if name.startswith(("DVC_", "MLFLOW_TRACKING"))]:
            del os.environ[name]
        os.environ["DVC_ROOT"] = folder
        try:
            store.connect()
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(kept)


def labelled(count: int, size: int) -> LabelledImages:
    """Noise of all views in turn, each image of a patient of its own."""
    names = np.array([f"noise-{number}" for number in range(count)])
    return LabelledImages(noise_images(count, size), view_labels(count).numpy(), names, np.full(count, "noise"), names)


class Training:
    """One training of the demo's first classifier, as the stage does it.

    Args:
        params: params.yaml.
        sizes: how much of it.
        folder: for the files.
    """

    def __init__(self, params: Params, sizes: Sizes, folder: Path) -> None:
        changes = {"budget": "steps", "steps": sizes.steps or params.classifier.steps}
        classifier = params.classifier.model_copy(update=changes)
        self.params = params.model_copy(update={"classifier": classifier})
        images = labelled(sizes.images, params.ingest.size)
        self.data, self.data_hash = images, images.hash()
        self.validation = labelled(sizes.validated, params.ingest.size)
        self.architecture = params.arms.architectures[0]
        self.subset, self.assignment = folder / "subset.csv", folder / "assignment.csv"
        self.subset.write_text("\n".join(map(str, images.ids)))
        self.assignment.write_text("\n".join([*map(str, images.ids), *map(str, self.validation.ids)]))
        self._folders = (folder / f"training-{number}" for number in count())

    def do(self, tracked: bool) -> tuple[float, float]:
        """Seconds of the whole, and of those in calls of the tracking, the making of pictures among them."""
        facts = {"arm": "real", "subset": "all", "architecture": self.architecture, "seed": 0}
        facts |= {"real_images": len(self.data.images)}
        folder = next(self._folders)
        folder.mkdir()
        began = time.perf_counter()
        settings = {"classifier": self.params.classifier.model_dump(), **facts}
        run = child_run(folder.name, "classify", settings) if tracked else nullcontext()
        with run as opened:
            timed = Timed(opened)
            timed.seconds = time.perf_counter() - began
            timed.dataset("subset-all", self.subset, "training")
            timed.dataset("validation", self.assignment, "validation")
            pictures: dict[str, Any] = {name: timed.counted(getattr(classify, name)) for name in PICTURES}
            with patch.multiple(classify, **pictures):
                classify.train_and_score(
                    self.params, facts, self.data, self.data_hash, {}, self.validation, folder, cast(RunLogger, timed)
                )
            closing = time.perf_counter()
        ended = time.perf_counter()
        return ended - began, timed.seconds + ended - closing


def measure_training(params: Params, sizes: Sizes) -> list[Result]:
    """Whole trainings with and without tracking in turns, and the time inside the calls of the tracked ones."""
    with fresh_store() as folder:
        training = Training(params, sizes, folder)
        training.do(True)  # what is done once in a process: imports, the row of the execution
        turns = [(training.do(True), training.do(False)) for _ in range(sizes.repeats)]
    tracked, plain = [pair[0] for pair in turns], [pair[1] for pair in turns]
    settings = training.params.classifier
    setting = (
        f"{training.architecture}, {settings.steps} steps of {settings.batch_size} images, {settings.evaluations} "
        f"points on each curve, {params.ingest.size} x {params.ingest.size}"
    )
    whole: Comparison = compared(
        TASK, TARGET, [t for t, _ in tracked], [t for t, _ in plain], "the same without tracking", setting
    )
    best = min(tracked, key=lambda pair: pair[1] / pair[0])
    return [whole, Share(TASK, best[1] / best[0], "calls of the tracking", best[0], setting)]


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], Result | list[Result]]]:
    """All of them.

    Args:
        params: networks and sizes.
        quick: tiny sizes, to see that it works.
        auto: not needed: precision is that of params.yaml.
    """
    return [partial(measure_training, params, QUICK if quick else Sizes())]
