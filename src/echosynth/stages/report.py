"""Write the report: one page, its main numbers, and tables for `dvc plots`."""

from pathlib import Path

from echosynth.common import paths
from echosynth.common.files import write_json
from echosynth.config.parameters import Params
from echosynth.report.study.inputs import read_inputs
from echosynth.report.study.page import render
from echosynth.report.study.summary import plots, summary
from echosynth.report.templates import write_html
from echosynth.stages import stage
from echosynth.tracking.history import flat_reasons, flat_scores
from echosynth.tracking.runs import finish_parent

REPORTS = Path("reports")


def build(params: Params) -> tuple[dict[str, float], dict[str, str]]:
    """Write reports/index.html, reports/metrics.json and reports/plots, and return the scores of this execution, and
    why others are absent."""
    inputs = read_inputs(params)
    scores = summary(inputs)
    write_html(REPORTS / "index.html", render(inputs))
    write_json(REPORTS / "metrics.json", scores)
    plots(inputs, REPORTS / "plots")
    return flat_scores(scores), flat_reasons(scores)


@stage
def main(params: Params) -> None:
    """Read what the other stages wrote, write reports/, and complete the execution's row in MLflow."""
    scores, reasons = build(params)
    # The page shows training images: where they are patients', it stays out of MLflow.
    page = [REPORTS / "index.html"] if paths.simulated(params.data.root) else []
    finish_parent(scores, params.model_dump(), [*page, REPORTS / "metrics.json"], reasons)
    print(f"the report: {REPORTS / 'index.html'}")


if __name__ == "__main__":
    main()
