"""Train the classifiers of one arm, subset and architecture, one a seed, and score them on real validation images."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from echosynth import paths
from echosynth.classify.arms import TrainingSet, training_set
from echosynth.classify.network import ClassifierCard, predict, save
from echosynth.classify.train import Point, train
from echosynth.config import Params
from echosynth.files import atomic_folder, write_json
from echosynth.images.dataset import LabelledImages, read_labelled, read_split, read_subset
from echosynth.measure.scores import evaluate, headline
from echosynth.sections import ArmName
from echosynth.stages import stage
from echosynth.track.plots import confusion_figure, precision_recall_figure
from echosynth.track.runs import Context, Run, child_run
from echosynth.views import VIEWS


@stage
def main(params: Params, arm: ArmName, size: str, architecture: str) -> None:
    """Read a subset (and its synthetic set), write models/classifiers/<arm>-<size>-<architecture>."""
    subset = read_subset(params.data.train_sources, size)
    validation = read_split(params.data.train_sources, "validation")
    real, synthetic, noted = TrainingSet(subset.images, subset.labels), None, {}
    inputs: list[tuple[str, Path, Context]] = [
        (f"subset-{size}", paths.subset_file(size), "training"),
        ("validation", paths.ASSIGNMENT, "validation"),
    ]
    if arm in ("synthetic", "mixed"):
        made = read_labelled([paths.SYNTHETIC / size])
        synthetic = TrainingSet(made.images, made.labels, len(made.ids))
        noted = {"synthetic_hash": made.hash()}  # all of it is trained on, whatever the arm
        inputs.append((f"synthetic-{size}", paths.SYNTHETIC / size, "training"))
    tags = {"echosynth.arm": arm, "echosynth.subset": size}
    settings = params.classifier.model_dump()
    with atomic_folder(paths.cell_folder(arm, size, architecture)) as part:
        for seed in params.classifier.seeds:
            facts = {
                "arm": arm,
                "subset": size,
                "architecture": architecture,
                "seed": seed,
                "real_images": len(real.images),
            }
            data = training_set(arm, real, synthetic, seed)
            with child_run(
                f"{architecture} {arm} {size} seed {seed}", "classify", {"classifier": settings, **facts}, tags
            ) as run:
                for name, path, context in inputs:
                    run.dataset(name, path, context)
                folder = part / paths.seed_folder(seed)
                train_and_score(params, facts, data, subset.hash(), noted, validation, folder, run)


def train_and_score(
    params: Params,
    facts: dict[str, Any],
    data: TrainingSet,
    data_hash: str,
    noted: dict[str, str],
    validation: LabelledImages,
    folder: Path,
    run: Run,
) -> None:
    """Train one classifier, write it with its scores, predictions, curve and what was `noted` into `folder`, and log
    them."""
    settings = params.classifier
    curve: list[dict[str, float]] = []
    truth = validation.labels, validation.groups, validation.sources

    def on_evaluation(network: nn.Module, point: Point) -> None:
        scores = evaluate(predict(network, validation.images), *truth)
        shown = {f"validation.{name}": scores[name] for name in ("macro_auprc", "macro_f1", "loss")}
        curve.append({"step": point.step, "training_loss": point.loss, **shown})
        # The speed differs from time to time, so it is logged and not in the file, which DVC compares.
        speed = {"learning_rate": point.learning_rate, "images_per_second": point.images_per_second}
        run.metrics({"training_loss": point.loss, **shown, **speed}, point.step)

    trained = train(settings, facts["architecture"], facts["seed"], data, on_evaluation, settings.evaluations)
    probabilities = predict(trained.network, validation.images)
    scores = evaluate(probabilities, *truth, settings.bootstrap, settings.bootstrap_seed)
    card = ClassifierCard(
        size=params.ingest.size,
        resampling=params.ingest.resampling,
        steps=trained.steps,
        training_images=data.by_view(),
        synthetic_images=data.synthetic,
        training_hash=data_hash,
        **{name: facts[name] for name in ("architecture", "arm", "subset", "seed")},
    )
    folder.mkdir()
    save(folder, trained.network, card)
    table = pd.DataFrame(np.round(probabilities, 7), columns=list(VIEWS))
    table.insert(0, "id", validation.ids)
    table.to_csv(folder / "validation.csv", index=False, lineterminator="\n")
    pd.DataFrame(curve).to_csv(folder / "curve.csv", index=False, lineterminator="\n")
    facts = facts | {"images": len(data.images), "synthetic": data.synthetic, "steps": trained.steps}
    write_json(folder / "metrics.json", {"facts": facts, "validation": scores} | noted)

    name = f"{facts['architecture']}, {facts['arm']}, {facts['subset']} real images, seed {facts['seed']}"
    final = {name: value for name, value in headline(scores, "validation").items() if name not in curve[-1]}
    run.metrics(final | {"train_seconds": trained.seconds, "images": len(data.images)})
    run.figure(confusion_figure(scores, f"Validation: {name}"), "confusion.png")
    run.figure(precision_recall_figure(probabilities, validation.labels, f"Validation: {name}"), "precision_recall.png")
    run.dict(scores, "scores.json")
    recall = ", ".join(f"{view} {value:.2f}" for view, value in scores["recall"].items() if value is not None)
    print(f"{name}: macro AUPRC {scores['macro_auprc']:.3f}, recall {recall}", file=sys.stderr)


if __name__ == "__main__":
    main()
