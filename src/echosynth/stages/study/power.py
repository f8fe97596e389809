"""Say what each comparison could have shown."""

from echosynth.common.files import atomic_folder, write_json
from echosynth.config.parameters import Params
from echosynth.stages import stage
from echosynth.thesis.cells import SCORES
from echosynth.thesis.power import powers


@stage
def main(params: Params, *questions: str) -> None:
    """Read models/classifiers and reports/study/<question>, write reports/study/power."""
    metrics = powers(params, questions)
    with atomic_folder(SCORES / "power") as folder:
        write_json(folder / "metrics.json", metrics)
    print(f"{len(metrics['comparisons'])} differences asked for their power")


if __name__ == "__main__":
    main()
