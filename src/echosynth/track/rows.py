"""What parents and children have in common: how a run is made, found, taken up again and ended in one store."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from echosynth.errors import EchosynthError
from echosynth.track import origin
from echosynth.track.processes import PROCESS
from echosynth.track.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun

PIPELINE = "echosynth.pipeline"  # tags
STAGE = "echosynth.stage"
PARAMETERS = "echosynth.parameters"
RUN_TYPE = "echosynth.run_type"
PARENT = "mlflow.parentRunId"
ERROR = "error"
SERVER_RUN = "echosynth.server_run"  # on a kept run: the server's run that it goes on with
SENT = "echosynth.sent"  # on a kept run: the server's run that holds all of it

OPEN = ("RUNNING", "FAILED")  # an execution in one of these goes on in its row
RUN_TYPES = {  # by stage; any other is an evaluation
    "pipeline": "pipeline",
    "diffusion": "training",
    "classify": "training",
    "echo": "training",
    "register": "registration",
    "promote": "promotion",
}
PARAMS_A_BATCH = 100  # limits of MLflow's interface
METRICS_A_BATCH = 1000
RUNS_A_PAGE = 1000


def create(place: Store, name: str, stage: str, process: str, tags: Mapping[str, str]) -> str:
    """Id of a new run.

    Args:
        place: where.
        name: of the run.
        stage: the stage of dvc.yaml, or "pipeline".
        process: the one it belongs to, see `echosynth.track.processes`.
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


def same(run: "MlflowRun", name: str, params: Mapping[str, str]) -> bool:
    """Whether a run has this name and none of these parameters with another value."""
    return run.info.run_name == name and all(run.data.params.get(key, text) == text for key, text in params.items())


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


def log_tags(place: Store, run_id: str, tags: Mapping[str, str]) -> None:
    """Write tags, at once."""
    from mlflow.entities import RunTag

    place.client.log_batch(run_id, tags=[RunTag(key, text) for key, text in tags.items()])


def log_params(place: Store, run_id: str, params: Mapping[str, str]) -> None:
    """Log the parameters that the run does not hold yet; MLflow refuses to change one."""
    from mlflow.entities import Param

    held = place.client.get_run(run_id).data.params
    fresh = [Param(key, value) for key, value in params.items() if key not in held]
    for start in range(0, len(fresh), PARAMS_A_BATCH):
        place.client.log_batch(run_id, params=fresh[start : start + PARAMS_A_BATCH])


def log_metrics(place: Store, run_id: str, points: "Sequence[Metric]") -> None:
    """Log points of curves."""
    for start in range(0, len(points), METRICS_A_BATCH):
        place.client.log_batch(run_id, metrics=list(points[start : start + METRICS_A_BATCH]))


def history(place: Store, run: "MlflowRun") -> "dict[str, list[Metric]]":
    """All points of all curves of a run, by name."""
    return {key: list(place.client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics}


def sentence(error: BaseException) -> str:
    """What the tag `error` says of an exception."""
    return str(error) if isinstance(error, EchosynthError) else f"{type(error).__name__}: {error}".rstrip(": ")
