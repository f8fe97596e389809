"""Write the page of the thesis and complete its row in MLflow."""

from pathlib import Path

from echosynth.common.files import read_json
from echosynth.config.parameters import Params
from echosynth.report.templates import write_html
from echosynth.report.thesis.inputs import read_thesis, summary
from echosynth.report.thesis.page import render
from echosynth.report.thesis.times import render_times
from echosynth.stages import stage
from echosynth.thesis.cells import TIMES
from echosynth.tracking.runs import finish_parent

PAGE = Path("reports/study.html")


@stage
def main(params: Params) -> None:
    """Read reports/study and what the report is made of, write reports/study.html and, where the study was trained
    here, its times beside."""
    thesis, pages = read_thesis(params), [PAGE]
    write_html(PAGE, render(thesis))
    if TIMES.is_file():
        pages.append(TIMES.with_suffix(".html"))
        write_html(pages[-1], render_times(read_json(TIMES)))
    finish_parent(summary(thesis), params.model_dump(), pages)
    print(f"the thesis beside this study: {PAGE}")


if __name__ == "__main__":
    main()
