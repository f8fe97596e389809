"""Put all classifiers together and name the best by validation AUPRC."""

import sys
from itertools import product

from echosynth.common import paths
from echosynth.common.files import read_json, write_json
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier, compare
from echosynth.evaluation.predictions import read_probabilities
from echosynth.imagesets.dataset import read_split
from echosynth.stages import stage


@stage
def main(params: Params) -> None:
    """Read models/classifiers, write reports/comparison."""
    settings = params.classifier
    validation = read_split(params.data.train_sources, "validation")
    runs = []
    for architecture, size, arm, seed in product(
        settings.architectures, params.split.subsets, settings.arms, settings.seeds
    ):
        folder = paths.cell_folder(arm, size, architecture) / paths.seed_folder(seed)
        metrics = read_json(folder / "metrics.json")
        probabilities = read_probabilities(folder / "validation.csv", validation.ids)
        runs.append(ScoredClassifier(metrics["facts"], metrics["validation"], probabilities))
    result = compare(runs, validation.labels, validation.groups, settings.bootstrap, settings.bootstrap_seed)
    write_json(paths.COMPARISON / "metrics.json", result)
    for cell in result["cells"]:
        print(
            f"{cell['subset']:>6} {cell['arm']:<10} AUPRC {cell['macro_auprc']:.3f} F1 {cell['macro_f1']:.3f}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
