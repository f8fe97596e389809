"""What the trainings of the study took on this machine, beside the thesis's own times."""

from collections import defaultdict
from collections.abc import Mapping

from echosynth.report.drawing import look
from echosynth.report.formatting import count, decimal
from echosynth.report.tables import Table
from echosynth.report.templates import fill

Times = Mapping[str, Mapping[str, float]]  # "question/instance" -> "arm-architecture/seed-n" -> seconds


def table(measured: Times) -> Table:
    """Show seconds by question, instance and kind of training.

    Args:
        measured: content of reports/study_times.json.
    """
    rows = []
    for key, trainings in sorted(measured.items()):
        kinds: dict[str, list[float]] = defaultdict(list)
        for name, seconds in trainings.items():
            kinds[name.rpartition("/")[0]].append(seconds)
        for kind, each in kinds.items():
            mean = sum(each) / len(each)
            rows.append([key, kind, count(len(each)), decimal(mean, 1), decimal(sum(each) / 60, 1)])
    total = sum(sum(trainings.values()) for trainings in measured.values())
    note = (
        f"In all {decimal(total / 3600, 2)} hours of trainings, several of them at a time. Each is the time of the "
        "steps alone. The thesis's trainings took 1 to 57 minutes (tables 5.3, 5.4, A.1 and A.2)."
    )
    header = ["question and subset", "training", "seeds", "seconds each", "minutes in all"]
    return Table("Trainings of the study", header, rows, labels=2, note=note)


@look()
def render_times(measured: Times) -> str:
    """Render the page of times, which differ from run to run."""
    return fill("thesis/times.html", styles={}, times=table(measured))
