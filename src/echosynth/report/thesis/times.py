"""What the trainings took on this machine, beside the thesis's own times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from echosynth.classifier.arms import classifier_folder
from echosynth.config.parameters import Params
from echosynth.report.drawing import STYLES, look
from echosynth.report.formatting import count, decimal
from echosynth.report.tables import Table
from echosynth.report.templates import fill
from echosynth.report.thesis.classifiers import published, their_size
from echosynth.report.thesis.inputs import Thesis
from echosynth.thesis.cells import SCORES
from echosynth.tracking.record import RECORD, Record
from echosynth.tracking.times import noted


@dataclass(frozen=True, order=True)
class Kind:
    """Trainings that differ by their seed alone; `question` is empty for those of the main pipeline."""

    question: str
    subset: str
    arm: str
    architecture: str


Timed = tuple[Kind, float]  # seconds of one training


def main_trainings(params: Params) -> list[Timed]:
    """Find the trainings of tables 5.3 and 5.4 that were timed on this machine, in the order of the tables."""
    arms, classifier = params.arms, params.classifier
    folders = (
        classifier_folder(arm, size, architecture, seed)
        for architecture in arms.architectures
        for arm in arms.names
        for size in params.split.subsets
        for seed in classifier.seeds
    )
    return list(_timed(folder / RECORD for folder in folders))


def study_trainings() -> list[Timed]:
    """Find the trainings of the study's own stages that were timed on this machine, by question."""
    return sorted(_timed(SCORES.rglob(RECORD)))


def _timed(records: Iterable[Path]) -> Iterable[Timed]:
    for file in records:
        if (seconds := noted(file).get("train_seconds")) is not None:
            facts = Record.parse(file.read_bytes()).params
            yield Kind(facts.get("question", ""), *(facts[key] for key in ("subset", "arm", "architecture"))), seconds


def main_table(timed: Sequence[Timed], thesis: Thesis) -> Table:
    """Show the classifiers of tables 5.3 and 5.4 with the thesis's times beside."""
    rows = []
    for kind, each in _by_kind(timed):
        size = their_size(kind.subset, thesis.main.sizes)
        row = None
        for table in ("5.4", "5.3"):  # inception_v3 stands in the latter alone
            if row is None:
                row = published(thesis, table, kind.arm, "scratch", size, kind.architecture)
        theirs = ["–", "–"] if row is None else [size, str(row["minutes"])]
        rows.append([kind.architecture, kind.arm, count(thesis.main.sizes[kind.subset]), *_cells(each), *theirs])
    header = ["architecture", "data", "real images", "seeds", "seconds each", "minutes in all"]
    header += ["thesis: size", "minutes"]
    missing = "" if rows else " None was trained here since times are kept."
    note = f"{_in_all(timed)}{missing} The thesis trained on four A100 GPUs."
    return Table("Classifiers of tables 5.3 and 5.4", header, rows, labels=2, note=note)


def study_table(timed: Sequence[Timed]) -> Table:
    """Show the trainings of the study's own stages by question, subset and kind."""
    rows = [
        [kind.question, kind.subset, f"{kind.arm}, {kind.architecture}", *_cells(each)]
        for kind, each in _by_kind(timed)
    ]
    header = ["question", "subset", "training", "seeds", "seconds each", "minutes in all"]
    note = f"{_in_all(timed)} The thesis's frozen networks took 1 to 20 minutes (tables A.1 and A.2)."
    return Table("Trainings of the study", header, rows, labels=3, note=note)


def _by_kind(timed: Sequence[Timed]) -> Iterable[tuple[Kind, list[float]]]:
    for kind, each in groupby(timed, key=lambda one: one[0]):
        yield kind, [seconds for _, seconds in each]


def _cells(seconds: Sequence[float]) -> list[str]:
    return [count(len(seconds)), decimal(sum(seconds) / len(seconds), 1), decimal(sum(seconds) / 60, 1)]


def _in_all(timed: Sequence[Timed]) -> str:
    hours = decimal(sum(seconds for _, seconds in timed) / 3600, 2)
    return f"In all {hours} hours of trainings, several of them at a time; each is the time of the steps alone."


@look()
def render_times(thesis: Thesis, main: Sequence[Timed], study: Sequence[Timed]) -> str:
    """Render the page of times, which differ from run to run."""
    return fill("thesis/times.html", styles=STYLES, tables=[main_table(main, thesis), study_table(study)])
