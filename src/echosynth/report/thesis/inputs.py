"""Read what the page of the thesis is made of."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from echosynth.common.files import read_json
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import compare
from echosynth.report.study import inputs as study
from echosynth.report.tables import Json
from echosynth.thesis.cells import SCORES, read_cells
from echosynth.thesis.images import validation

QUESTIONS = ("budgets", "fractions", "frozen", "ranking", "rebalance", "sources")  # those that train
PUBLISHED = Path(__file__).with_name("classifiers.csv")


@dataclass(frozen=True)
class Thesis:
    """All that the page shows.

    Attributes:
        params: of the project.
        main: what the report shows.
    """

    params: Params
    main: study.Inputs
    _compared: dict[str, dict[str, Json]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def published(self) -> pd.DataFrame:
        """The thesis's tables 5.3, 5.4, A.1 and A.2: table, data, weights, size, architecture, auprc, f1, loss,
        minutes. Rows of A.1 and A.2 that repeat 5.4 are left out."""
        return pd.read_csv(PUBLISHED)

    def compared(self, question: str) -> dict[str, Json]:
        """Compare the trainings of a question.

        Returns:
            Instance, such as a subset -> what `echosynth.evaluation.comparison.compare` returns; the smallest subset
            first. Empty where the question was not asked.
        """
        if question in self._compared:
            return self._compared[question]
        held_out, settings = validation(self.params.data.train_sources), self.params.classifier
        found = {}
        for folder in sorted(path for path in (SCORES / question).glob("*") if path.is_dir()):
            if runs := read_cells(question, folder.name, held_out):
                found[folder.name] = compare(
                    runs, held_out.labels, held_out.groups, settings.bootstrap, settings.bootstrap_seed
                )
        self._compared[question] = dict(sorted(found.items(), key=lambda item: item[1]["cells"][0]["real_images"]))
        return self._compared[question]

    def measured(self, question: str, instance: str = "") -> Json | None:
        """Read the numbers of a question that trains nothing; None where it was not asked."""
        file = SCORES / question / instance / "metrics.json"
        return read_json(file) if file.is_file() else None


def summary(thesis: Thesis) -> dict[str, float]:
    """Give the scores by which executions of the study are compared: macro AUPRC of each kind of training."""
    return {
        f"study.{question}.{instance}.{cell['arm']}.{cell['architecture']}": cell["macro_auprc"]
        for question in QUESTIONS
        for instance, result in thesis.compared(question).items()
        for cell in result["cells"]
        if cell["macro_auprc"] is not None
    }


def read_thesis(params: Params) -> Thesis:
    """Read what the other stages wrote.

    Raises:
        EchosynthError: naming the first file that is missing or damaged.
    """
    return Thesis(params, study.read_inputs(params))
