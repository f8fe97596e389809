"""Write the page of the thesis and complete its row in MLflow."""

from pathlib import Path

from echosynth.config.parameters import Params
from echosynth.report.templates import write_html
from echosynth.report.thesis.inputs import read_thesis, summary
from echosynth.report.thesis.page import render
from echosynth.report.thesis.times import main_trainings, render_times, study_trainings
from echosynth.stages import stage
from echosynth.tracking.runs import finish_parent

PAGE, TIMES = Path("reports/study.html"), Path("reports/study_times.html")


@stage
def main(params: Params) -> None:
    """Read reports/study and what the report is made of, write reports/study.html and, where anything was trained
    on this machine, its times beside."""
    thesis, pages = read_thesis(params), [PAGE]
    write_html(PAGE, render(thesis))
    classifiers, study = main_trainings(params), study_trainings()
    if classifiers or study:
        write_html(TIMES, render_times(thesis, classifiers, study))
        pages.append(TIMES)
    finish_parent(summary(thesis), params.model_dump(), pages)
    print(f"the thesis beside this study: {PAGE}")


if __name__ == "__main__":
    main()
