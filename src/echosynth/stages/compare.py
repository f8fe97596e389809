"""Put all classifiers together, name the best by validation AUPRC, and judge the views of synthetic images."""

import sys
from itertools import product
from typing import Any

from echosynth.classifier.arms import has_weights
from echosynth.classifier.network import load, predict
from echosynth.common import paths
from echosynth.common.files import write_json
from echosynth.compute.device import pick_device
from echosynth.config.parameters import Params
from echosynth.evaluation.agreement import view_agreement
from echosynth.evaluation.comparison import ScoredClassifier, compare
from echosynth.evaluation.stored import folder_of, stored_classifiers
from echosynth.imagesets.dataset import LabelledImages, read_labelled, read_split
from echosynth.stages import stage


def agreement(params: Params, runs: list[ScoredClassifier], validation: LabelledImages) -> dict[str, Any] | None:
    """How often the view that a synthetic image is meant to show is seen by the classifiers that were trained on the
    most real images, and on nothing else.

    Args:
        params: all parameters; of a set its first `fidelity.count` images are judged.
        runs: all classifiers; those of the first architecture that kept their weights are asked.
        validation: what they have been scored on.

    Returns:
        judges: their subset, architecture and number; real: their agreement with the validation images; sets: that with
        each synthetic set, beside its generator and subset. None where arm `real` was not trained.
    """
    architecture = params.arms.architectures[0]
    own = [
        one
        for one in runs
        if (one.facts["arm"], one.facts["architecture"]) == ("real", architecture) and has_weights(folder_of(one))
    ]
    if not own:
        return None
    most = max(one.facts["real_images"] for one in own)
    judges = [one for one in own if one.facts["real_images"] == most]
    subset = judges[0].facts["subset"]
    networks = [load(folder_of(one), pick_device())[0] for one in judges]
    sets = []
    for size, generator in product(params.split.subsets, ("diffusion", *params.baselines.generators)):
        made = read_labelled([paths.synthetic_set(generator, size)])
        first = slice(params.fidelity.count)
        seen = view_agreement([predict(network, made.images[first]) for network in networks], made.labels[first])
        sets.append({"generator": generator, "subset": str(size)} | seen)
    return {
        "judges": {"subset": subset, "architecture": architecture, "number": len(judges)},
        "real": view_agreement([one.probabilities for one in judges], validation.labels),
        "sets": sets,
    }


@stage
def main(params: Params) -> None:
    """Read models/classifiers and the synthetic sets, write reports/comparison."""
    settings = params.classifier
    validation = read_split(params.data.train_sources, "validation")
    runs = stored_classifiers(
        params.arms.names, params.split.subsets, params.arms.architectures, settings.seeds, validation.ids
    )
    result = compare(runs, validation.labels, validation.groups, settings.bootstrap, settings.bootstrap_seed)
    result["agreement"] = agreement(params, runs, validation)
    write_json(paths.COMPARISON / "metrics.json", result)
    for cell in result["cells"]:
        print(
            f"{cell['subset']:>6} {cell['arm']:<10} AUPRC {cell['macro_auprc']:.3f} F1 {cell['macro_f1']:.3f}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
