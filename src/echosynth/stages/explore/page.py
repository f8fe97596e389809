"""Write the page of the explorations and complete their row in MLflow."""

from pathlib import Path

from echosynth.common.files import read_json
from echosynth.config.parameters import Params
from echosynth.report.explorations.inputs import TIMES, read_explorations, summary
from echosynth.report.explorations.page import render, render_times
from echosynth.report.templates import write_html
from echosynth.stages import stage
from echosynth.tracking.runs import finish_parent

PAGE = Path("reports/explore.html")


@stage
def main(params: Params) -> None:
    """Read reports/explore, write reports/explore.html and, where the solvers were timed here, their times beside."""
    found = read_explorations(params)
    write_html(PAGE, render(found))
    pages = [PAGE]
    if TIMES.is_file():
        pages.append(TIMES.with_suffix(".html"))
        write_html(pages[-1], render_times(found, read_json(TIMES)))
    finish_parent(summary(found), params.model_dump(), pages)
    print(f"the explorations: {PAGE}")


if __name__ == "__main__":
    main()
