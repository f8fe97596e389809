"""Train the classifiers of one group of arms, subset and architecture, and score them on real validation images."""

import shutil
import sys
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from echosynth.classifier.arms import training_set
from echosynth.classifier.network import ClassifierCard, predict, save
from echosynth.classifier.options import ArmName, Group, generator_of
from echosynth.classifier.train import CurvePoint, train
from echosynth.common import paths
from echosynth.common.arm_names import percent_of
from echosynth.common.files import atomic_folder, read_json, write_json
from echosynth.common.resume import ResumeState, code_hash
from echosynth.compute.device import pick_device, resolved
from echosynth.compute.side_by_side import side_by_side
from echosynth.config.parameters import Params
from echosynth.evaluation.plots import confusion_png, precision_recall_png
from echosynth.evaluation.predictions import write_probabilities
from echosynth.evaluation.scores import evaluate, headline
from echosynth.imagesets.dataset import LabelledImages, read_labelled, read_split, read_subset
from echosynth.stages import stage
from echosynth.tracking.origin import data_hash, parent_key
from echosynth.tracking.runs import Context, RunLogger, child_run

# What a training imports after its start: for the first optimiser, for the first run.
LATER = ("torch._dynamo", "mlflow.store.tracking.sqlalchemy_store")
NAME = "{architecture} {arm} {subset} seed {seed}"  # of a training and of its run
Training = tuple[ArmName, int]  # arm and seed


@dataclass(frozen=True)
class Cell:
    """What one instance of the stage works on. Images are read at their first use and are not sent to other processes,
    which read them from the files, or share them when they were forked."""

    params: Params
    group: Group
    size: str
    architecture: str

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def subset(self) -> LabelledImages:
        """The real training images."""
        return read_subset(self.params.data.train_sources, self.size)

    @cached_property
    def validation(self) -> LabelledImages:
        """What is scored."""
        return read_split(self.params.data.train_sources, "validation")

    @cached_property
    def synthetic(self) -> LabelledImages | None:
        """All synthetic images of the group; an arm such as mixed-70 takes a part of them, each other one all."""
        generator = generator_of(self.group)
        return read_labelled([paths.synthetic_set(generator, self.size)]) if generator else None

    @cached_property
    def noted(self) -> dict[str, str]:
        """What `metrics.json` says of the synthetic images."""
        return {"synthetic_hash": self.synthetic.hash()} if self.synthetic else {}

    def training_set(self, arm: ArmName, seed: int) -> LabelledImages:
        """What an arm is trained on."""
        return training_set(arm, self.subset, self.synthetic, seed, self.params.arms.worth(self.size))

    @property
    def inputs(self) -> list[tuple[str, Path, Context]]:
        """Name, place and use of the data that a run names."""
        found: list[tuple[str, Path, Context]] = [
            (f"subset-{self.size}", paths.subset_file(self.size), "training"),
            ("validation", paths.ASSIGNMENT, "validation"),
        ]
        if generator := generator_of(self.group):
            found.append((*paths.synthetic_output(generator, self.size), "training"))
        return found

    def facts(self, arm: ArmName, seed: int) -> dict[str, Any]:
        """What tells a training from others."""
        return {"arm": arm, "subset": self.size, "architecture": self.architecture, "seed": seed}


@stage
def main(params: Params, group: Group, size: str, architecture: str) -> None:
    """Read a subset (and its synthetic set), write models/classifiers/<group>-<size>-<architecture>."""
    cell = Cell(params, group, size, architecture)
    state = done_trainings(cell)
    arms = params.arms.of_group(group)
    for arm in filter(percent_of, arms):
        cell.training_set(arm, 0)  # says before anything is trained that there are too few synthetic images for it
    trainings = [(arm, seed) for arm in arms for seed in params.classifier.seeds]
    with state.held(), atomic_folder(paths.cell_folder(group, size, architecture)) as part:
        left: dict[str, Training] = {}
        for training in trainings:
            name = NAME.format_map(cell.facts(*training))
            if (state.folder / paths.seed_folder(*training)).is_dir():
                print(f"{name} was trained before the stage was stopped", file=sys.stderr, flush=True)
            else:
                left[name] = training
        side_by_side(partial(one_training, cell, state), left, LATER)
        for arm in arms:
            kept = with_weights(state.folder, arm, params)
            for seed in params.classifier.seeds:
                folder = paths.seed_folder(arm, seed)
                (part / folder).mkdir(parents=True)
                for file in (state.folder / folder).iterdir():
                    if file.name != paths.WEIGHTS or seed in kept:
                        shutil.copyfile(file, part / folder / file.name)
    state.clear()


def with_weights(folder: Path, arm: ArmName, params: Params) -> list[int]:
    """Seeds of an arm whose weights are kept: all, or the one that `compare` would name as the best of them."""
    seeds = params.classifier.seeds
    if params.arms.keep_weights == "all":
        return seeds

    def auprc(seed: int) -> float:
        scores = read_json(folder / paths.seed_folder(arm, seed) / "metrics.json")["validation"]
        return -1.0 if scores["macro_auprc"] is None else float(scores["macro_auprc"])

    return [max(seeds, key=auprc)]


def done_trainings(cell: Cell) -> ResumeState:
    """Where finished trainings wait for the others, so that a killed stage does not do them again. Another execution,
    in whose row they have no runs, does its own."""
    device = pick_device()
    training = [cell.subset.hash(), *cell.noted.values(), *(data_hash(path) for _, path, _ in cell.inputs)]
    return ResumeState(
        "classify",
        parent_key(),  # all parameters, and DVC's name of the experiment
        [cell.group, cell.size, cell.architecture],
        [training, cell.validation.hash(), cell.validation.ids.tolist(), cell.validation.groups.tolist()],
        "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        resolved(device, cell.params.classifier.precision),
        code_hash("echosynth.stages.classify"),
    )


def one_training(cell: Cell, state: ResumeState, training: Training) -> None:
    """Train one classifier in a run of its own, and keep its files in `state`."""
    params, (arm, seed) = cell.params, training
    facts = cell.facts(arm, seed) | {"real_images": len(cell.subset.images)}
    settings = {"classifier": params.classifier.model_dump(), **facts}
    tags = {"echosynth.arm": arm, "echosynth.subset": cell.size}
    # The run ends before its files count as done: whatever is killed, a finished training has a finished run.
    with (
        state.part(paths.seed_folder(arm, seed)) as folder,
        child_run(NAME.format_map(facts), "classify", settings, tags) as run,
    ):
        for title, path, context in cell.inputs:
            run.dataset(title, path, context)
        data = cell.training_set(arm, seed)
        train_and_score(params, facts, data, cell.subset.hash(), cell.noted, cell.validation, folder, run)


def train_and_score(
    params: Params,
    facts: dict[str, Any],
    data: LabelledImages,
    data_hash: str,
    noted: dict[str, str],
    validation: LabelledImages,
    folder: Path,
    run: RunLogger,
) -> None:
    """Train one classifier, write it with its scores, predictions, curve and what was `noted` into the empty `folder`,
    and log them."""
    settings = params.classifier
    curve: list[dict[str, float]] = []
    predicted: list[npt.NDArray[np.float32]] = []
    truth = validation.labels, validation.groups, validation.sources

    def on_evaluation(network: nn.Module, point: CurvePoint) -> None:
        predicted.append(predict(network, validation.images))
        scores = evaluate(predicted[-1], *truth)
        shown = {f"validation.{name}": scores[name] for name in ("macro_auprc", "macro_f1", "loss")}
        curve.append({"step": point.step, "training_loss": point.loss, **shown})
        values = {"training_loss": point.loss, **shown, "learning_rate": point.learning_rate}
        run.metrics(values, point.step, speed={"images_per_second": point.images_per_second})

    architecture, seed, name = facts["architecture"], facts["seed"], NAME.format_map(facts)
    trained = train(settings, architecture, seed, data, on_evaluation, settings.evaluations, name)
    probabilities = predicted[-1]
    scores = evaluate(probabilities, *truth, settings.bootstrap, settings.bootstrap_seed)
    card = ClassifierCard(
        size=params.ingest.size,
        resampling=params.ingest.resampling,
        square_pixels=params.ingest.square_pixels,
        steps=trained.steps,
        training_images=data.by_view(),
        synthetic_images=data.synthetic,
        training_hash=data_hash,
        **{name: facts[name] for name in ("architecture", "arm", "subset", "seed")},
    )
    save(folder, trained.network, card)
    write_probabilities(folder / "validation.csv", validation.ids, probabilities)
    pd.DataFrame(curve).to_csv(folder / "curve.csv", index=False, lineterminator="\n")
    facts = facts | {"images": len(data.images), "synthetic": data.synthetic, "steps": trained.steps}
    write_json(folder / "metrics.json", {"facts": facts, "validation": scores} | noted)

    title = f"{architecture}, {facts['arm']}, {facts['subset']} real images, seed {facts['seed']}"
    final = {name: value for name, value in headline(scores, "validation").items() if name not in curve[-1]}
    run.metrics(final | {"images": len(data.images)}, speed={"train_seconds": trained.seconds})
    pictures = {
        "confusion.png": confusion_png(scores, f"Validation: {title}"),
        "precision_recall.png": precision_recall_png(probabilities, validation.labels, f"Validation: {title}"),
    }
    run.save(folder, "metrics.json", pictures=pictures)
    recall = ", ".join(f"{view} {value:.2f}" for view, value in scores["recall"].items() if value is not None)
    print(f"{title}: macro AUPRC {scores['macro_auprc']:.3f}, recall {recall}", file=sys.stderr)


if __name__ == "__main__":
    main()
