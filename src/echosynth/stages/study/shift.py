"""Score every stored classifier on the domain shift once; no choice is made by it."""

from echosynth.common.files import atomic_folder, write_json
from echosynth.config.parameters import Params
from echosynth.evaluation.predictions import write_probabilities
from echosynth.stages import stage
from echosynth.thesis.cells import SCORES
from echosynth.thesis.shift import score_on_shift


@stage
def main(params: Params) -> None:
    """Read models/classifiers and data/shift, write reports/study/shift."""
    metrics, ids, predicted = score_on_shift(params)
    with atomic_folder(SCORES / "shift") as folder:
        write_json(folder / "metrics.json", metrics)
        for place, probabilities in predicted:
            (folder / place).mkdir(parents=True)
            write_probabilities(folder / place / "shift.csv", ids, probabilities)


if __name__ == "__main__":
    main()
