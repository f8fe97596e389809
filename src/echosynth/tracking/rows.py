"""How runs are made, found, taken up again and ended in one store.

The parent run is the row of one execution of the pipeline. It is found again by workspace, pipeline, parameters and, in
an experiment of DVC, the experiment's name, so that stages, which are processes of their own, share it, and so that a
pipeline that was stopped half-way goes on in the same row. A finished execution keeps its row: the next one gets a new
row.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml
from echosynth.tracking import origin, processes, system
from echosynth.tracking.processes import PROCESS
from echosynth.tracking.record import flat_params
from echosynth.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun

PIPELINE = "echosynth.pipeline"  # tags
STAGE = "echosynth.stage"
PARAMETERS = "echosynth.parameters"
RUN_TYPE = "echosynth.run_type"
OTHER_PIPELINE = "dvc.pipeline"
PARENT = "mlflow.parentRunId"
ERROR = "error"
WORK = "echosynth.work"  # on a child: fingerprint of the state that its work can go on from
SERVER_RUN = "echosynth.server_run"  # on a kept run: the server's run that it goes on with
SENT = "echosynth.sent"  # on a kept run: the server's run that holds all of it

OPEN = ("RUNNING", "FAILED")  # an execution in one of these goes on in its row
REPLACED = "DVC did not keep this result: it was killed, or a stage failed or ran again, when this was finished already"
RUN_TYPES = {  # by stage; any other is an evaluation
    "pipeline": "pipeline",
    "diffusion": "training",
    "classify": "training",
    "feature-network": "training",
    "register": "registration",
    "promote": "promotion",
}
PARAMS_A_BATCH = 100  # limits of MLflow's interface, which takes 1000 things a call of both together
METRICS_A_BATCH = 900
RUNS_A_PAGE = 1000


def create(place: Store, name: str, stage: str, process: str, tags: Mapping[str, str]) -> str:
    """Id of a new run.

    Args:
        place: where.
        name: of the run.
        stage: the stage of dvc.yaml, or "pipeline".
        process: the one it belongs to, see `echosynth.tracking.processes`.
        tags: further tags.
    """
    known = {
        PIPELINE: origin.parent_key(),
        STAGE: stage,
        RUN_TYPE: RUN_TYPES.get(stage, "evaluation"),
        PROCESS: process,
        "mlflow.source.name": stage,
        "mlflow.source.type": "LOCAL",
        **origin.origin_tags(),
        **tags,
    }
    return str(place.client.create_run(place.experiment, tags=known, run_name=name).info.run_id)


def search(place: Store, condition: str = "") -> "list[MlflowRun]":
    """All runs that fulfil `condition`, in MLflow's language, the latest first."""
    found: list[MlflowRun] = []
    token = None
    while True:
        page = place.client.search_runs(
            [place.experiment],
            condition,
            max_results=RUNS_A_PAGE,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        found += page
        token = page.token
        if not token:
            return found


def open_parent(place: Store) -> str:
    """Id of the unfinished parent of this execution, set to RUNNING again where it had failed, or of a new one."""
    process = processes.driver()
    for run in executions(place, origin.params_hash(), origin.parent_key()):
        if run.info.status in OPEN:
            reopen(place, run, process)
            return str(run.info.run_id)
    parent = create(place, origin.execution_name(), "pipeline", process, {})
    log(place, parent, flat_params(read_yaml(origin.PARAMS)) if origin.PARAMS.is_file() else {})
    return parent


def latest_parent(place: Store) -> str:
    """Id of the latest execution of this pipeline with these parameters, whatever became of it or was committed since,
    or empty."""
    key, pipeline = origin.parent_key(), origin.pipeline()
    executed = executions(place, origin.params_hash())
    found = [run for run in executed if run.data.tags.get(OTHER_PIPELINE, "") == pipeline]
    mine = [run for run in found if run.data.tags.get(PIPELINE) == key]
    return next((str(run.info.run_id) for run in [*mine, *found]), "")


def fail_open_parent(place: Store, error: str) -> bool:
    """Mark the running parent of this execution, if there is one, as FAILED, with the sentence that says why.

    Returns:
        Whether a failure of this execution is marked now, by this call or by the run of the stage that failed.
    """
    marked = False
    for run in executions(place, origin.params_hash(), origin.parent_key()):
        if run.info.status == "RUNNING":
            end(place, run.info.run_id, "FAILED", error)
            marked = True
        elif run.info.status == "FAILED":
            marked |= run.data.tags.get(PROCESS) == processes.driver()
    return marked


def executions(place: Store, parameters: str, key: str = "") -> "list[MlflowRun]":
    """All parents with these parameters, the latest first.

    Args:
        place: where.
        parameters: their hash.
        key: what the stages of one execution have in common; empty for any.
    """
    condition = f"tags.`{STAGE}` = 'pipeline' and tags.`{PARAMETERS}` = '{parameters}'"
    return search(place, f"{condition} and tags.`{PIPELINE}` = '{key}'" if key else condition)


def children(place: Store, parent: str) -> "list[MlflowRun]":
    """All runs below a row, the latest first."""
    return search(place, f"tags.`{PARENT}` = '{parent}'")


def goes_on(run: "MlflowRun", name: str, params: Mapping[str, str], work: str) -> bool:
    """Whether a child is the one that an attempt goes on with.

    It has this name and none of these parameters with another value, and nothing in it is out of date: it is unfinished
    and of the same work, or nothing of its work was logged before it failed. Points cannot be taken out of a run, so
    work that begins anew, maybe with other code or data, must not go where an earlier attempt has left some.

    Args:
        run: the child.
        name: of the attempt.
        params: of the attempt.
        work: fingerprint of the state that the attempt can go on from; empty where its work always begins anew.
    """
    if run.info.run_name != name or run.info.status == "FINISHED":
        return False
    if any(run.data.params.get(key, text) != text for key, text in params.items()):
        return False
    numbers = [name for name in run.data.metrics if not name.startswith(system.PREFIX)]
    empty = not numbers and not run.inputs.dataset_inputs
    return empty or (bool(work) and run.data.tags.get(WORK) == work)


def reopen(place: Store, run: "MlflowRun", process: str) -> None:
    """Set a run to RUNNING again, as one of `process`."""
    if run.info.status != "RUNNING":
        place.client.update_run(run.info.run_id, status="RUNNING")
    for tag in (ERROR, SENT):
        if tag in run.data.tags:
            place.client.delete_tag(run.info.run_id, tag)
    place.client.set_tag(run.info.run_id, PROCESS, process)


def end(place: Store, run_id: str, status: str, error: str = "") -> None:
    """End a run, with the sentence that says why in a tag when it did not go well, else with the hash of dvc.lock."""
    if error:
        place.client.set_tag(run_id, ERROR, error)
    else:
        if lock := origin.lock_hash():
            place.client.set_tag(run_id, "dvc.lock", lock)
        if ERROR in place.client.get_run(run_id).data.tags:  # somebody took it for dead
            place.client.delete_tag(run_id, ERROR)
    place.client.set_terminated(run_id, status)


def replace(place: Store, earlier: str, later: str) -> None:
    """Let a later row take the place of an earlier one of the same work, whose result DVC did not keep: of the two, it
    alone is FINISHED.

    Stages that were up to date the second time have left their runs below the earlier row; these go below the later
    one, which lacks them.
    """
    held = {run.info.run_name for run in children(place, later)}
    for run in children(place, earlier):
        if run.info.status == "FINISHED" and run.info.run_name not in held:
            place.client.set_tag(run.info.run_id, PARENT, later)
    end(place, earlier, "KILLED", REPLACED)


def replace_siblings(place: Store, parent: str, name: str, later: str) -> None:
    """Let a child take the place of earlier finished ones of its name below the same row: its stage ran again before
    the pipeline was done, and DVC keeps what it wrote last."""
    for run in children(place, parent):
        if run.info.status == "FINISHED" and run.info.run_name == name and run.info.run_id != later:
            end(place, run.info.run_id, "KILLED", REPLACED)


def log_tags(place: Store, run_id: str, tags: Mapping[str, str]) -> None:
    """Write tags, at once."""
    from mlflow.entities import RunTag

    place.client.log_batch(run_id, tags=[RunTag(key, text) for key, text in tags.items()])


def log(place: Store, run_id: str, params: Mapping[str, str], points: "Sequence[Metric]" = ()) -> None:
    """Log parameters and points of curves with as few calls as MLflow allows: each takes as long as all that is in it.

    Args:
        place: where.
        run_id: of the run.
        params: those that the run holds already are left out, as MLflow refuses to change one.
        points: of curves.
    """
    from mlflow.entities import Param

    held = place.client.get_run(run_id).data.params if params else {}
    fresh, left = [Param(key, text) for key, text in params.items() if key not in held], list(points)
    while fresh or left:
        place.client.log_batch(run_id, left[:METRICS_A_BATCH], fresh[:PARAMS_A_BATCH])
        fresh, left = fresh[PARAMS_A_BATCH:], left[METRICS_A_BATCH:]


def history(place: Store, run: "MlflowRun") -> "dict[str, list[Metric]]":
    """All points of all curves of a run, by name."""
    return {key: list(place.client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics}


def sentence(error: BaseException) -> str:
    """What the tag `error` says of an exception."""
    return str(error) if isinstance(error, EchosynthError) else f"{type(error).__name__}: {error}".rstrip(": ")


def private_sentence(error: BaseException) -> str:
    """The same for work on raw files, whose names may be those of patients: only what kind of error it was."""
    return f"{type(error).__name__}; the message on the machine that ran it says more"
