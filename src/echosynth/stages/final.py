"""Score the best classifier once on the test set and on the domain shift, and register it."""

import shutil
import sys

from echosynth import paths
from echosynth.classify.network import load, predict
from echosynth.config import Params
from echosynth.device import pick_device
from echosynth.files import atomic_folder, file_hash, read_json, write_json
from echosynth.images.dataset import read_labelled, read_split
from echosynth.measure.calibration import calibration_error
from echosynth.measure.scores import evaluate
from echosynth.stages import stage
from echosynth.track import store
from echosynth.track.packaging import FILES
from echosynth.track.plots import confusion_figure
from echosynth.track.register import final_scores, register_final
from echosynth.track.runs import child_run


@stage
def main(params: Params) -> None:
    """Read reports/comparison, write models/final and reports/final."""
    settings = params.classifier
    best = read_json(paths.COMPARISON / "metrics.json")["best"]
    cell = paths.cell_folder(best["arm"], best["subset"], best["architecture"])
    folder = cell / paths.seed_folder(best["seed"])
    name = f"{cell.name}, seed {best['seed']}"
    network, card = load(folder, pick_device())
    data = {"training": card.training_hash, "split": file_hash(paths.ASSIGNMENT)}
    result = {"best": best, "validation": read_json(folder / "metrics.json")["validation"], "shift": None}
    splits = {"test": params.data.train_sources, "shift": params.data.shift_sources}
    for split, sources in splits.items():
        if sources:
            real = (
                read_split(sources, split)
                if split == "test"
                else read_labelled([paths.SHIFT / name for name in sources])
            )
            probabilities = predict(network, real.images)
            result[split] = evaluate(
                probabilities, real.labels, real.groups, real.sources, settings.bootstrap, settings.bootstrap_seed
            ) | {"calibration_error": calibration_error(probabilities, real.labels, params.promotion.calibration_bins)}
            data[split] = real.hash()
    result |= {"model": file_hash(folder / FILES[0]), "data": data}
    with atomic_folder(paths.FINAL) as part:
        for file in FILES:
            shutil.copyfile(folder / file, part / file)
    write_json(paths.FINAL_SCORES / "metrics.json", result)
    print(f"final model {name}: test AUPRC {result['test']['macro_auprc']:.3f}", file=sys.stderr)
    with child_run("final model", "final", {"final": best["arm"], "trained": name}) as run:
        run.metrics(final_scores(result))
        for split in splits:
            if result[split]:
                run.figure(confusion_figure(result[split], f"{split}, {name}"), f"confusion_{split}.png")
        run.dict(result, "scores.json")
    try:
        version = register_final()
    except store.Unreachable as error:
        print(f"the final model is not registered: {error}; `echosynth register` does it later", file=sys.stderr)
    else:
        print(f"registered as {version.name}, version {version.version}", file=sys.stderr)


if __name__ == "__main__":
    main()
