"""Train one classifier and score it on the real validation images."""

import sys
from typing import Any, cast

import numpy as np
import pandas as pd
from torch import nn

from echosynth import paths
from echosynth.classify.arms import TrainingSet, training_set
from echosynth.classify.network import ClassifierCard, predict, save
from echosynth.classify.train import train
from echosynth.config import ArmName, Params
from echosynth.files import atomic_folder, write_json
from echosynth.images.dataset import read_labelled, read_split, read_subset
from echosynth.measure.scores import evaluate, headline
from echosynth.stages import stage
from echosynth.track.plots import confusion_figure
from echosynth.track.runs import child_run
from echosynth.views import VIEWS


@stage
def main(params: Params, arm: ArmName, size: str, architecture: str, seed: str) -> None:
    """Read a subset (and its synthetic set), write models/classifiers/<arm>-<size>-<architecture>-<seed>."""
    settings = params.classifier
    subset = read_subset(params.data.train_sources, size)
    validation = read_split(params.data.train_sources, "validation")
    synthetic = None
    if arm in ("synthetic", "mixed"):
        made = read_labelled([paths.SYNTHETIC / size])
        synthetic = TrainingSet(made.images, made.labels, len(made.ids))
    data = training_set(arm, TrainingSet(subset.images, subset.labels), synthetic, int(seed))
    facts: dict[str, Any] = {"arm": arm, "subset": size, "architecture": architecture, "seed": int(seed)}
    tags = {"echosynth.arm": arm, "echosynth.subset": size}
    with child_run(
        f"{architecture} {arm} {size} seed {seed}", "classify", {"classifier": settings.model_dump(), **facts}, tags
    ) as run:
        run.dataset(f"subset-{size}", paths.subset_file(size), "training")
        if synthetic:
            run.dataset(f"synthetic-{size}", paths.SYNTHETIC / size, "training")
        curve: list[dict[str, float]] = []

        def on_evaluation(network: nn.Module, step: int, loss: float) -> None:
            scores = evaluate(
                predict(network, validation.images), validation.labels, validation.groups, validation.sources
            )
            point = {"training_loss": loss} | {
                f"validation_{name}": scores[name] for name in ("macro_auprc", "macro_f1", "loss")
            }
            curve.append({"step": step, **point})
            run.metrics(point, step)

        trained = train(settings, architecture, int(seed), data, on_evaluation)
        probabilities = predict(trained.network, validation.images)
        scores = evaluate(
            probabilities,
            validation.labels,
            validation.groups,
            validation.sources,
            settings.bootstrap,
            settings.bootstrap_seed,
        )
        facts |= {
            "real_images": len(subset.ids),
            "images": len(data.images),
            "synthetic": data.synthetic,
            "steps": trained.steps,
        }
        card = ClassifierCard(
            size=params.ingest.size,
            architecture=architecture,
            arm=arm,
            subset=size,
            seed=int(seed),
            steps=trained.steps,
            training_images=data.by_view(),
            synthetic_images=data.synthetic,
            training_hash=subset.hash(),
        )
        folder = paths.classifier_folder(arm, size, architecture, int(seed))
        with atomic_folder(folder) as part:
            save(part, trained.network, card)
            table = pd.DataFrame(np.round(probabilities, 7), columns=list(VIEWS))
            table.insert(0, "id", validation.ids)
            table.to_csv(part / "validation.csv", index=False, lineterminator="\n")
            pd.DataFrame(curve).to_csv(part / "curve.csv", index=False, lineterminator="\n")
            write_json(part / "metrics.json", {"facts": facts, "validation": scores})
        run.metrics(headline(scores, "validation") | {"train_seconds": trained.seconds, "images": len(data.images)})
        run.figure(confusion_figure(scores, f"Validation, {architecture}, {arm}, {size} real images"), "confusion.png")
        run.dict(scores, "scores.json")
    rare = cast(dict[str, float], scores["recall"])
    print(
        f"{folder.name}: AUPRC {scores['macro_auprc']:.3f}, recall A2C {rare['A2C']:.2f} PSAX {rare['PSAX']:.2f}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
