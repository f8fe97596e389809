"""What each comparison could have shown with these patients and seeds, and what it needs."""

from collections.abc import Sequence
from typing import Any

from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier, compare
from echosynth.evaluation.power import chances, power_table
from echosynth.evaluation.stored import stored_classifiers
from echosynth.thesis.cells import SCORES, read_cells
from echosynth.thesis.images import validation

MAIN = "classifiers"  # the comparisons of the main pipeline


def powers(params: Params, questions: Sequence[str]) -> dict[str, Any]:
    """Ask all comparisons of the main pipeline and of some questions of the study.

    Args:
        params: of the project.
        questions: names of stages that have trained arms on the same subsets, each with the arm that its others are
            compared with, such as "fractions:plus-0".

    Returns:
        `wanted`: the smallest difference that matters, by score; `comparisons`: a row for each score and pair of arms
        of a subset and architecture, with `question`, `subset`, `architecture`, `score`, `first`, `second` and what
        `echosynth.evaluation.power.power_table` says of first less second.
    """
    settings, held_out = params.classifier, validation(params.data.train_sources)
    asked = {
        MAIN: stored_classifiers(
            params.arms.names, params.split.subsets, params.arms.architectures, settings.seeds, held_out.ids
        )
    }
    bases: dict[str, str | None] = {MAIN: None}
    for word in questions:
        question, _, bases[question] = word.partition(":")
        instances = sorted(path.name for path in (SCORES / question).iterdir() if path.is_dir())
        asked[question] = [run for name in instances for run in read_cells(question, name, held_out)]
    wanted = {"macro_auprc": params.study.smallest_auprc, "rare_recall": params.study.smallest_recall}
    rows = []
    for question, runs in asked.items():
        versus = {
            (cell["architecture"], cell["subset"], cell["arm"]): cell["versus"]
            for cell in compare(runs, held_out.labels, held_out.groups, 0, 0)["cells"]
        }
        for (architecture, subset), arms in _families(runs).items():
            found = chances(
                arms,
                held_out.labels,
                held_out.groups,
                settings.bootstrap,
                settings.bootstrap_seed,
                bases[question],
            )
            for (score, first, second), chance in found.items():
                observed = versus[architecture, subset, first][second][score]
                words = {"subset": subset, "architecture": architecture, "score": score}
                table = power_table(
                    chance, observed, wanted[score], params.study.power_patients, params.study.power_seeds
                )
                rows.append({"question": question} | words | {"first": first, "second": second} | table)
    return {"wanted": wanted, "comparisons": rows}


def _families(runs: Sequence[ScoredClassifier]) -> dict[tuple[str, str], dict[str, list[ScoredClassifier]]]:
    """Runs by arm, of each architecture and subset: those that are compared with each other."""
    found: dict[tuple[str, str], dict[str, list[ScoredClassifier]]] = {}
    for run in runs:
        arms = found.setdefault((run.facts["architecture"], run.facts["subset"]), {})
        arms.setdefault(run.facts["arm"], []).append(run)
    return found
