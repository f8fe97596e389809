"""Give the report's numbers to other tools: scores for `dvc metrics` and MLflow, tables for `dvc plots`."""

from pathlib import Path
from typing import Any

import pandas as pd

from echosynth.common.files import atomic_folder
from echosynth.common.views import VIEWS
from echosynth.report.drawing import STYLES
from echosynth.report.study.headline import rare_recall
from echosynth.report.study.inputs import Inputs

Tree = dict[str, Any]


def _known(values: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _scores(evaluation: Tree | None) -> dict[str, float]:
    """Give AUPRC, F1, loss, accuracy and recalls of one evaluation; none where it was not scored."""
    if evaluation is None:
        return {}
    names = ("macro_auprc", "macro_f1", "loss", "accuracy")
    return _known(
        {name: evaluation[name] for name in names} | {f"recall_{view}": evaluation["recall"][view] for view in VIEWS}
    )


def summary(inputs: Inputs) -> Tree:
    """Give the numbers by which executions are compared.

    Returns:
        best, test, shift: scores of the final model; auprc, rare_recall: by `<arm>_<subset>`, with the architecture in
        front unless it is the first one of the parameters; kernel_echo, fid_echo (and fid_inception, fid_imagenet where
        they are known): by subset, with `<generator>_` in front unless it is the diffusion model, likewise near_copies
        and view_agreement, where `real` stands for the validation images; kernel_echo_floor, fid_echo_floor: by subset.
        All floats. absent: names of macro scores such as "test.macro_f1" that a set cannot give -> why, in words.
        Branches without any leaf are left out.
    """
    best = inputs.final["best"]
    auprc: dict[str, float] = {}
    rare: dict[str, float | None] = {}
    for cell in inputs.comparison["cells"]:
        other = "" if cell["architecture"] == inputs.architecture else f"{cell['architecture']}_"
        name = f"{other}{cell['arm']}_{cell['subset']}"
        auprc[name], rare[name] = cell["macro_auprc"], rare_recall(cell)
    floors = {subset: model.sets["diffusion"].fidelity["echo"] for subset, model in inputs.diffusion.items()}
    fidelity = {
        subset if generator == "diffusion" else f"{generator}_{subset}": made.fidelity
        for subset, model in inputs.diffusion.items()
        for generator, made in model.sets.items()
    }
    agreement = {
        name: seen["macro"]
        for name, row in fidelity.items()
        if (seen := inputs.agreement(row["generator"], row["subset"]))
    }
    if judged := inputs.comparison["agreement"]:
        agreement["real"] = judged["real"]["macro"]
    tree = {
        "best": {"validation_macro_auprc": best["macro_auprc"], "validation_macro_f1": best["macro_f1"]},
        "test": _scores(inputs.final["test"]),
        "shift": _scores(inputs.final["shift"]),
        "absent": {
            f"{split}.{name}": reason
            for split in ("test", "shift")
            for name, reason in ((inputs.final[split] or {}).get("absent") or {}).items()
        },
        "auprc": auprc,
        "rare_recall": _known(rare),
        "view_agreement": agreement,
        "near_copies": {name: row["privacy"]["near_copies"] for name, row in fidelity.items()},
        "kernel_echo": {name: row["echo"]["kernel"] for name, row in fidelity.items()},
        "kernel_echo_floor": _known({subset: row["floor_kernel"] for subset, row in floors.items()}),
        "fid_echo": {name: row["echo"]["frechet"] for name, row in fidelity.items()},
        "fid_echo_floor": _known({subset: row["floor_frechet"] for subset, row in floors.items()}),
        "fid_inception": {name: row["inception"]["frechet"] for name, row in fidelity.items() if row["inception"]},
        "fid_imagenet": {name: row["imagenet"]["frechet"] for name, row in fidelity.items() if row["imagenet"]},
    }
    return {name: branch for name, branch in tree.items() if branch}


def plots(inputs: Inputs, folder: Path) -> None:
    """Write auprc.csv and confusion_test.csv for `dvc plots` into `folder`, which is replaced.

    The first holds a row for each subset and a column for each arm that there is, of the first architecture; columns of
    arms that were not trained are empty, as DVC draws nothing where one is missing.
    """
    cells = [cell for cell in inputs.comparison["cells"] if cell["architecture"] == inputs.architecture]
    wide = pd.DataFrame(cells).pivot_table("macro_auprc", "real_images", "arm")
    wide = wide.reindex(columns=STYLES.in_order([*STYLES, *wide.columns])).reset_index()
    pairs = [
        (actual, predicted)
        for actual, row in zip(VIEWS, inputs.final["test"]["confusion"], strict=True)
        for predicted, times in zip(VIEWS, row, strict=True)
        for _ in range(times)
    ]
    tables = {
        "auprc": wide,
        "confusion_test": pd.DataFrame(pairs, columns=["actual", "predicted"]),
    }
    with atomic_folder(folder) as part:
        for name, table in tables.items():
            table.to_csv(part / f"{name}.csv", index=False, lineterminator="\n")
