"""Score the best classifier once on the test set and on the domain shift, and register it."""

import shutil
import sys

from echosynth.classifier.arms import classifier_folder
from echosynth.classifier.network import load, predict
from echosynth.common import paths
from echosynth.common.files import atomic_folder, file_hash, read_json, write_json
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.evaluation.calibration import evaluate_calibrated
from echosynth.evaluation.plots import confusion_png, precision_recall_png
from echosynth.evaluation.predictions import write_probabilities
from echosynth.evaluation.scores import absent
from echosynth.imagesets.dataset import LabelledImages, read_labelled, read_split
from echosynth.registry.register import final_absent, final_scores, register_final
from echosynth.stages import stage
from echosynth.tracking import store
from echosynth.tracking.runs import child_run


def real_images(params: Params) -> dict[str, LabelledImages]:
    """The test set and, where there are sources for it, the domain shift."""
    found, shift = {"test": read_split(params.data.train_sources, "test")}, params.data.shift_sources
    return found | ({"shift": read_labelled([paths.SHIFT / source for source in shift])} if shift else {})


@stage
def main(params: Params) -> None:
    """Read reports/comparison, write models/final and reports/final."""
    best = read_json(paths.COMPARISON / "metrics.json")["best"]
    folder = classifier_folder(best["arm"], best["subset"], best["architecture"], best["seed"])
    name = f"{best['arm']}-{best['subset']}-{best['architecture']}, seed {best['seed']}"
    network, card = load(folder, pick_device())
    stored = read_json(folder / "metrics.json")
    data = {"training": card.training_hash, "split": file_hash(paths.ASSIGNMENT)}
    if "synthetic_hash" in stored:
        data["synthetic"] = stored["synthetic_hash"]
    result = {"best": best, "validation": stored["validation"], "shift": None}
    predicted, pictures = {}, {}
    for split, real in real_images(params).items():
        probabilities, title = predict(network, real.images), f"{split}, {name}"
        result[split] = evaluate_calibrated(
            probabilities,
            real.labels,
            real.groups,
            real.sources,
            params.promotion.calibration_bins,
            params.classifier.bootstrap,
            params.classifier.bootstrap_seed,
        )
        data[split] = real.hash()
        predicted[split] = real.ids, probabilities
        pictures[f"confusion_{split}.png"] = confusion_png(result[split], title)
        pictures[f"precision_recall_{split}.png"] = precision_recall_png(probabilities, real.labels, title)
    result |= {"model": file_hash(folder / paths.WEIGHTS), "data": data}
    with atomic_folder(paths.FINAL) as part:
        for file in paths.STORED:
            shutil.copyfile(folder / file, part / file)
    facts = {"final": best["arm"], "trained": name}
    with (
        child_run("final model", "final", facts, final_absent(result)) as run,
        atomic_folder(paths.FINAL_SCORES) as part,
    ):
        write_json(part / "metrics.json", result)
        for split, (ids, probabilities) in predicted.items():
            write_probabilities(part / f"{split}.csv", ids, probabilities)
        run.dataset("test", paths.ASSIGNMENT, "test")
        for source in params.data.shift_sources:
            run.dataset(f"shift-{source}", paths.SHIFT / source, "test")
        run.metrics(final_scores(result))
        run.save(part, "metrics.json", pictures=pictures)
    auprc, reasons = result["test"]["macro_auprc"], absent(result["test"])
    said = f"no test AUPRC: {reasons['macro_auprc']}" if auprc is None else f"test AUPRC {auprc:.3f}"
    print(f"final model {name}: {said}", file=sys.stderr)
    try:
        version = register_final()
    except store.Unreachable as error:
        print(f"the final model is not registered: {error}; `echosynth register` does it later", file=sys.stderr)
    else:
        print(f"registered as {version.name}, version {version.version}", file=sys.stderr)


if __name__ == "__main__":
    main()
