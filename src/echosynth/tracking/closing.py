"""Runs whose process is gone without a word: killed, or on a machine that was switched off."""

from typing import TYPE_CHECKING

from echosynth.tracking import processes, rows, store
from echosynth.tracking.rows import PARENT
from echosynth.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


def close_dead(*places: Store) -> list[str]:
    """Mark the RUNNING runs of this machine whose process is gone as FAILED, with the reason.

    A child belongs to the process of its stage, a parent to the `dvc` that runs the stages. A run that was taken for
    dead though it is not, as in two containers that share a name, ends as it should when its own process ends it.

    Args:
        places: where; without any, in the stores that are there and answer.

    Returns:
        Names of the runs, children first.

    Raises:
        EchosynthError: the store cannot be used.
    """
    closed = []
    for place in places or store.existing():
        with store.reported(place.uri), store.lock():
            running = rows.search(place, "attributes.status = 'RUNNING'")
            for run in sorted(running, key=lambda run: PARENT not in run.data.tags):
                if reason := _reason(run):
                    rows.end(place, run.info.run_id, "FAILED", reason)
                    closed.append(str(run.info.run_name))
    return closed


def _reason(run: "MlflowRun") -> str:
    """Why a run that is RUNNING is not, or nothing."""
    gone = processes.gone(run.data.tags.get(processes.PROCESS, ""))
    if not gone:
        return ""
    if run.data.tags.get(rows.STAGE) == "pipeline":
        name = run.data.tags.get("dvc.exp_name")
        again = f"the same `dvc exp run` with `-n {name}`" if name else "`dvc repro`"
        return f"the pipeline ended before its report ({gone} is gone); {again} goes on in this row"
    return f"its process was killed, or the machine went down ({gone} is gone)"
