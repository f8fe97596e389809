"""The parent run: the row of one execution of the pipeline.

A parent is found again by workspace, pipeline, parameters and, in an experiment of DVC, the experiment's name, so that
stages, which are processes of their own, share it, and so that a pipeline that was stopped half-way goes on in the same
row. A finished execution keeps its row: the next one gets a new row.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import flat_tree
from echosynth.tracking import origin, processes, rows
from echosynth.tracking.rows import OPEN, PARAMETERS, PIPELINE, STAGE
from echosynth.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


def open_parent(place: Store) -> str:
    """Id of the unfinished parent of this execution, set to RUNNING again where it had failed, or of a new one."""
    process = processes.driver()
    for run in executions(place, origin.params_hash(), origin.parent_key()):
        if run.info.status in OPEN:
            rows.reopen(place, run, process)
            return str(run.info.run_id)
    parent = rows.create(place, origin.execution_name(), "pipeline", process, {})
    rows.log(place, parent, flat_params(read_yaml(origin.PARAMS)) if origin.PARAMS.is_file() else {})
    return parent


def latest_parent(place: Store) -> str:
    """Id of the latest execution of this pipeline with these parameters, whatever became of it or was committed since,
    or empty."""
    key, pipeline = origin.parent_key(), origin.pipeline()
    executed = executions(place, origin.params_hash())
    found = [run for run in executed if run.data.tags.get(rows.OTHER_PIPELINE, "") == pipeline]
    mine = [run for run in found if run.data.tags.get(PIPELINE) == key]
    return next((str(run.info.run_id) for run in [*mine, *found]), "")


def fail_parent(place: Store, error: str) -> bool:
    """Mark the running parent of this execution, if there is one, as FAILED, with the sentence that says why.

    Returns:
        Whether a failure of this execution is marked now, by this call or by the run of the stage that failed.
    """
    marked = False
    for run in executions(place, origin.params_hash(), origin.parent_key()):
        if run.info.status == "RUNNING":
            rows.end(place, run.info.run_id, "FAILED", error)
            marked = True
        elif run.info.status == "FAILED":
            marked |= run.data.tags.get(processes.PROCESS) == processes.driver()
    return marked


def executions(place: Store, parameters: str, key: str = "") -> "list[MlflowRun]":
    """All parents with these parameters, the latest first.

    Args:
        place: where.
        parameters: their hash.
        key: what the stages of one execution have in common; empty for any.
    """
    condition = f"tags.`{STAGE}` = 'pipeline' and tags.`{PARAMETERS}` = '{parameters}'"
    return rows.search(place, f"{condition} and tags.`{PIPELINE}` = '{key}'" if key else condition)


def flat_params(tree: Mapping[str, Any]) -> dict[str, str]:
    """Nested parameters as "section.key" -> text; lists are written as JSON."""
    flat = flat_tree(tree)
    return {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in flat.items()}
