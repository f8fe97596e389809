"""Train the classifiers of one arm, subset and architecture, one a seed, and score them on real validation images."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from echosynth.classifier.arms import training_set
from echosynth.classifier.network import ClassifierCard, predict, save
from echosynth.classifier.options import ArmName, generator_of
from echosynth.classifier.train import CurvePoint, train
from echosynth.common import paths
from echosynth.common.files import atomic_folder, write_json
from echosynth.common.resume import ResumeState, code_hash
from echosynth.compute.device import Precision, pick_device, resolved
from echosynth.config.parameters import Params
from echosynth.evaluation.plots import confusion_png, precision_recall_png
from echosynth.evaluation.predictions import write_probabilities
from echosynth.evaluation.scores import evaluate, headline
from echosynth.imagesets.dataset import LabelledImages, read_labelled, read_split, read_subset
from echosynth.stages import stage
from echosynth.tracking.origin import data_hash, parent_key
from echosynth.tracking.runs import Context, RunLogger, child_run

# Parameters on which a single cell does not depend.
ELSEWHERE = {"real_arms", "synthetic_arms", "baseline_arms", "architectures"}


@stage
def main(params: Params, arm: ArmName, size: str, architecture: str) -> None:
    """Read a subset (and its synthetic set), write models/classifiers/<arm>-<size>-<architecture>."""
    subset = read_subset(params.data.train_sources, size)
    validation = read_split(params.data.train_sources, "validation")
    synthetic, noted = None, {}
    inputs: list[tuple[str, Path, Context]] = [
        (f"subset-{size}", paths.subset_file(size), "training"),
        ("validation", paths.ASSIGNMENT, "validation"),
    ]
    if generator := generator_of(arm):
        synthetic = read_labelled([paths.synthetic_set(generator, size)])
        noted = {"synthetic_hash": synthetic.hash()}  # all of it is trained on, whatever the arm
        inputs.append((*paths.synthetic_output(generator, size), "training"))
    tags = {"echosynth.arm": arm, "echosynth.subset": size}
    known = {"arm": arm, "subset": size, "architecture": architecture}
    hashes = [subset.hash(), *noted.values(), *(data_hash(path) for _, path, _ in inputs)]
    state = done_seeds(params.classifier.precision, known, validation, hashes)
    with state.held(), atomic_folder(paths.cell_folder(arm, size, architecture)) as part:
        for seed in params.classifier.seeds:
            done = state.folder / paths.seed_folder(seed)
            name = f"{architecture} {arm} {size} seed {seed}"
            if done.is_dir():
                print(f"{name} was trained before the stage was stopped", file=sys.stderr, flush=True)
            else:
                facts = known | {"seed": seed, "real_images": len(subset.images)}
                data = training_set(arm, subset, synthetic, seed)
                settings = {"classifier": params.classifier.model_dump(exclude=ELSEWHERE), **facts}
                # The run ends before its files count as done: whatever is killed, a finished seed has a finished run.
                with state.part(done.name) as folder, child_run(name, "classify", settings, tags) as run:
                    for title, path, context in inputs:
                        run.dataset(title, path, context)
                    train_and_score(params, facts, data, subset.hash(), noted, validation, folder, run)
            (part / done.name).mkdir()
            for file in done.iterdir():
                shutil.copyfile(file, part / done.name / file.name)
    state.clear()


def done_seeds(
    precision: Precision, known: dict[str, Any], validation: LabelledImages, training: list[str]
) -> ResumeState:
    """Where finished seeds wait for the others, so that a killed stage does not train them again. Another execution, in
    whose row they have no runs, trains its own.

    Args:
        precision: of the training.
        known: arm, subset and architecture.
        validation: what is scored.
        training: hashes of what is trained on and of what the record names.
    """
    device = pick_device()
    return ResumeState(
        "classify",
        parent_key(),  # all parameters, and DVC's name of the experiment
        known,
        [training, validation.hash(), validation.ids.tolist(), validation.groups.tolist()],
        "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        resolved(device, precision),
        code_hash("echosynth.stages.classify"),
    )


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
    truth = validation.labels, validation.groups, validation.sources

    def on_evaluation(network: nn.Module, point: CurvePoint) -> None:
        scores = evaluate(predict(network, validation.images), *truth)
        shown = {f"validation.{name}": scores[name] for name in ("macro_auprc", "macro_f1", "loss")}
        curve.append({"step": point.step, "training_loss": point.loss, **shown})
        values = {"training_loss": point.loss, **shown, "learning_rate": point.learning_rate}
        run.metrics(values, point.step, speed={"images_per_second": point.images_per_second})

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
    save(folder, trained.network, card)
    write_probabilities(folder / "validation.csv", validation.ids, probabilities)
    pd.DataFrame(curve).to_csv(folder / "curve.csv", index=False, lineterminator="\n")
    facts = facts | {"images": len(data.images), "synthetic": data.synthetic, "steps": trained.steps}
    write_json(folder / "metrics.json", {"facts": facts, "validation": scores} | noted)

    name = f"{facts['architecture']}, {facts['arm']}, {facts['subset']} real images, seed {facts['seed']}"
    final = {name: value for name, value in headline(scores, "validation").items() if name not in curve[-1]}
    run.metrics(final | {"images": len(data.images)}, speed={"train_seconds": trained.seconds})
    pictures = {
        "confusion.png": confusion_png(scores, f"Validation: {name}"),
        "precision_recall.png": precision_recall_png(probabilities, validation.labels, f"Validation: {name}"),
    }
    run.save(folder, "metrics.json", pictures=pictures)
    recall = ", ".join(f"{view} {value:.2f}" for view, value in scores["recall"].items() if value is not None)
    print(f"{name}: macro AUPRC {scores['macro_auprc']:.3f}, recall {recall}", file=sys.stderr)


if __name__ == "__main__":
    main()
