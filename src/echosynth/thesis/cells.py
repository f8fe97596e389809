"""Trainings of one question of the study, side by side: scores and predictions of all are kept, and no weights."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from echosynth.common import paths
from echosynth.common.files import atomic_folder, read_json, write_json
from echosynth.common.resume import ResumeState, code_hash
from echosynth.compute.device import pick_device, resolved
from echosynth.compute.side_by_side import side_by_side
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier
from echosynth.evaluation.plots import confusion_png
from echosynth.evaluation.predictions import read_probabilities, write_probabilities
from echosynth.evaluation.scores import evaluate, headline
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis.images import shifted, subset, validation
from echosynth.tracking.origin import data_hash, parent_key
from echosynth.tracking.runs import child_run

SCORES = Path("reports/study")
LEFT_OUT = "left_out.json"
# What a training imports after its start: for the first optimiser, for the first run.
LATER = ("torch._dynamo", "mlflow.store.tracking.sqlalchemy_store")


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        arm: what it is trained on, and how where that is the question, such as "class-weighted".
        subset: the real training subset behind it.
        architecture: name of the network, with the way it is trained where that is the question.
        seed: of the training.
    """

    arm: str
    subset: str
    architecture: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where its result lies below that of its question and subset."""
        return Path(f"{self.arm}-{self.architecture}".replace(" ", "-"), f"seed-{self.seed}")


@dataclass(frozen=True)
class Outcome:
    """What a training gave.

    Attributes:
        probabilities: (N, 4) on the validation images.
        images: that it was trained on, as often as they are in its set.
        synthetic: how many of these are synthetic.
        steps: of the optimiser.
        seconds: it took; kept out of what DVC compares.
        facts: what else is to be known of it.
        shift: (M, 4) on the images of the domain shift, where the question is about these too.
    """

    probabilities: npt.NDArray[Any]
    images: int
    synthetic: int
    steps: int
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)
    shift: npt.NDArray[Any] | None = None


Train = Callable[[Params, Cell], Outcome]


def run_cells(
    question: str, instance: str, params: Params, cells: Sequence[Cell], train: Train, inputs: Sequence[Path]
) -> None:
    """Train and score all cells, write reports/study/<question>/<instance>.

    What is finished outlives a kill. Each training has a run in MLflow.

    Args:
        question: name of the stage.
        instance: what tells its instances apart, such as the training subset.
        params: of the project.
        cells: to be trained, at least one.
        train: trains one; a function of a module, since other processes call it.
        inputs: files and folders that the trainings read.
    """
    state = _finished_trainings(question, instance, params, cells, train, inputs)
    with state.held(), atomic_folder(SCORES / question / instance) as part:
        left = {name(question, cell): cell for cell in cells if not (state.folder / cell.folder).is_dir()}
        if len(left) < len(cells):
            print(f"{len(cells) - len(left)} trainings were done before the stage was stopped", file=sys.stderr)
        side_by_side(partial(_one, question, params, state, train), left, LATER)
        for cell in cells:
            shutil.copytree(state.folder / cell.folder, part / cell.folder)
    state.clear()


def name(question: str, cell: Cell) -> str:
    """Name of a training, and of its run."""
    return f"study {question} {cell.arm} {cell.subset} {cell.architecture} seed {cell.seed}"


def read_cells(
    question: str, instance: str, images: LabelledImages, name: str = "validation"
) -> list[ScoredClassifier]:
    """The trainings of one question and instance, for `echosynth.evaluation.comparison.compare`.

    Args:
        question: name of the stage.
        instance: of the stage.
        images: what they have predicted.
        name: of these images, "validation" or "shift".

    Raises:
        EchosynthError: a file is missing or damaged, or is about other images.
    """
    found = []
    for file in sorted((SCORES / question / instance).glob("*/*/metrics.json")):
        metrics = read_json(file)
        probabilities = read_probabilities(file.with_name(f"{name}.csv"), images.ids)
        found.append(ScoredClassifier(metrics["facts"], metrics[name], probabilities))
    return found


def note_left_out(question: str, size: str, left_out: dict[str, str]) -> None:
    """Write what an instance of a question left out, and why, beside its trainings."""
    write_json(SCORES / question / size / LEFT_OUT, left_out)


def read_left_out(question: str, size: str) -> dict[str, str]:
    """Read what `note_left_out` wrote."""
    found: dict[str, str] = read_json(SCORES / question / size / LEFT_OUT)
    return found


def _finished_trainings(
    question: str, instance: str, params: Params, cells: Sequence[Cell], train: Train, inputs: Sequence[Path]
) -> ResumeState:
    """Where finished trainings wait for the others; see `echosynth.stages.classify`."""
    device = pick_device()
    return ResumeState(
        "study",
        parent_key(),
        [question, instance, [asdict(cell) for cell in cells]],
        [data_hash(path) for path in (*inputs, paths.ASSIGNMENT, paths.SOURCES)],
        "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        resolved(device, params.classifier.precision),
        code_hash(train.__module__, "echosynth.thesis.cells"),
    )


def _one(question: str, params: Params, state: ResumeState, train: Train, cell: Cell) -> None:
    """Train one cell in a run of its own, and keep its files in `state`."""
    held_out = validation(params.data.train_sources)
    facts: dict[str, Any] = {**asdict(cell), "question": question}
    settings = {"classifier": params.classifier.model_dump(), **facts}
    tags = {"echosynth.arm": cell.arm, "echosynth.subset": cell.subset}
    with state.part(cell.folder) as folder, child_run(name(question, cell), "study", settings, tags) as run:
        run.dataset("validation", paths.ASSIGNMENT, "validation")
        outcome = train(params, cell)
        counts = {"images": outcome.images, "synthetic": outcome.synthetic, "steps": outcome.steps}
        facts |= {"real_images": len(subset(params.data.train_sources, cell.subset).labels), **counts, **outcome.facts}
        predicted = {"validation": (held_out, outcome.probabilities)}
        if outcome.shift is not None:
            predicted["shift"] = shifted(params.data.shift_sources), outcome.shift
        found, numbers = {}, dict[str, float](counts)
        for on, (images, probabilities) in predicted.items():
            write_probabilities(folder / f"{on}.csv", images.ids, np.asarray(probabilities))
            found[on] = evaluate(probabilities, images.labels, images.groups, images.sources)
            numbers |= headline(found[on], on)
        write_json(folder / "metrics.json", {"facts": facts} | found)
        scores = found["validation"]
        run.metrics(numbers, speed={"train_seconds": outcome.seconds})
        run.save(folder, "metrics.json", pictures={"confusion.png": confusion_png(scores, name(question, cell))})
    auprc = scores["macro_auprc"]
    print(f"{name(question, cell)}: macro AUPRC {'absent' if auprc is None else f'{auprc:.3f}'}", file=sys.stderr)
