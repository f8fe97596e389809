"""Runs that were kept while the server could not be reached are copied to it, once.

A kept run goes where it would be had the server answered: into the run that it began as there, into the parent of the
same execution, into an unfinished child that it would have continued, else into a new run. The server's run is
marked with the kept one's id before anything else is written, and points that it holds are not written again, so that
a copy that is killed can be repeated.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from echosynth.tracking import answers, rows, store
from echosynth.tracking.closing import close_dead
from echosynth.tracking.rows import ERROR, OPEN, PARAMETERS, PARENT, PIPELINE, SENT, SERVER_RUN
from echosynth.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun

KEPT_RUN = "echosynth.kept_run"  # on a run of the server: the kept run that went into it


def send() -> int:
    """Copy the kept runs to the server, with the history of their metrics, their inputs and artifacts, and delete them.

    Runs that are still being written stay until the next time; so does their parent.

    Returns:
        How many runs were copied in full; 0 where none wait, or `MLFLOW_TRACKING_URI` names no server.

    Raises:
        Unreachable: the server does not answer.
        EchosynthError: a store cannot be used.
    """
    if store.kept_folder() is None or not answers.is_server(store.tracking_uri()):
        return 0
    server, kept = store.connect(), store.kept()
    close_dead(kept)
    sent = 0
    with store.reported(server.uri), store.lock("send"):
        with store.reported(kept.uri):
            waiting = sorted(rows.search(kept), key=lambda run: (PARENT in run.data.tags, run.info.start_time))
        homes: dict[str, str] = {}  # id of the kept run -> id of the server's run
        for run in waiting:
            done = run.info.status != "RUNNING"
            if SENT in run.data.tags:
                homes[run.info.run_id] = run.data.tags[SENT]
            elif done or PARENT not in run.data.tags:
                above = homes.get(run.data.tags.get(PARENT, ""), "")
                homes[run.info.run_id] = home = _home(server, run, above)
                _copy(kept, server, run, home)
                sent += done and _mark_sent(kept, run, home)
    _delete_when_sent(kept)
    return sent


def _home(server: Store, run: "MlflowRun", parent: str) -> str:
    """Id of the server's run that a kept run goes into, marked as such."""
    found = _known(server, run) or (_child(server, run, parent) if parent else _parent(server, run))
    if found:
        server.client.set_tag(found, KEPT_RUN, run.info.run_id)
        return found
    tags = _tags(run) | {KEPT_RUN: run.info.run_id} | ({PARENT: parent} if parent else {})
    made = server.client.create_run(
        server.experiment, start_time=run.info.start_time, tags=tags, run_name=run.info.run_name
    )
    return str(made.info.run_id)


def _known(server: Store, run: "MlflowRun") -> str:
    """The run that this one began as, or that an earlier copy went into; empty where there is none."""
    from mlflow.exceptions import MlflowException

    for found in rows.search(server, f"tags.`{KEPT_RUN}` = '{run.info.run_id}'"):
        return str(found.info.run_id)
    if began := run.data.tags.get(SERVER_RUN):
        with suppress(MlflowException):  # another server, or somebody deleted it
            if server.client.get_run(began).info.lifecycle_stage == "active":
                return str(began)
    return ""


def _parent(server: Store, run: "MlflowRun") -> str:
    """The parent of the same execution: one that could go on, or that ran at the same time."""
    if run.data.tags.get(rows.STAGE) != "pipeline":
        return ""
    began, ended = run.info.start_time, run.info.end_time or float("inf")
    for found in rows.executions(server, run.data.tags[PARAMETERS], run.data.tags[PIPELINE]):
        overlap = found.info.start_time <= ended and (found.info.end_time or 0) >= began
        if found.info.status in OPEN or overlap:
            return str(found.info.run_id)
    return ""


def _child(server: Store, run: "MlflowRun", parent: str) -> str:
    """The child that this run would have continued."""
    for found in rows.search(server, f"tags.`{PARENT}` = '{parent}'"):
        if rows.goes_on(found, run.info.run_name, run.data.params, run.data.tags.get(rows.WORK, "")):
            return str(found.info.run_id)
    return ""


def _copy(kept: Store, server: Store, run: "MlflowRun", home: str) -> None:
    """Write what a kept run holds into a run of the server; nothing that is there is written twice."""
    there = server.client.get_run(home)
    rows.log(server, home, run.data.params, _fresh(rows.history(kept, run), rows.history(server, there)))
    if run.inputs.dataset_inputs:
        server.client.log_inputs(home, datasets=list(run.inputs.dataset_inputs))
    artifacts = Path(url2pathname(urlsplit(run.info.artifact_uri).path))
    if artifacts.is_dir():
        server.client.log_artifacts(home, str(artifacts))
    finished_there = PARENT not in run.data.tags and there.info.status == "FINISHED"
    if run.info.status == "RUNNING" or (finished_there and run.info.status != "FINISHED"):
        return  # the row of an execution that goes on, or that went on to its end at the server
    rows.log_tags(server, home, _tags(run))
    if ERROR in there.data.tags and ERROR not in run.data.tags:
        server.client.delete_tag(home, ERROR)
    server.client.set_terminated(home, run.info.status, run.info.end_time)


def _mark_sent(kept: Store, run: "MlflowRun", home: str) -> bool:
    """Note that all of an ended run is sent, unless another attempt has taken it up while it was copied."""
    with store.reported(kept.uri), store.lock():
        now = kept.client.get_run(run.info.run_id).info
        same = (now.status, now.end_time) == (run.info.status, run.info.end_time)
        if same:
            kept.client.set_tag(run.info.run_id, SENT, home)
    return same


def _fresh(kept: "dict[str, list[Metric]]", there: "dict[str, list[Metric]]") -> "list[Metric]":
    """Points that the server's run lacks: of a curve, those at its steps stay as they are, as in a continued run."""
    fresh = []
    for key, curve in kept.items():
        steps = {point.step for point in there.get(key, []) if point.step}
        written = {(point.step, point.timestamp) for point in there.get(key, [])}
        fresh += [p for p in curve if p.step not in steps and (p.step, p.timestamp) not in written]
    return fresh


def _tags(run: "MlflowRun") -> dict[str, str]:
    return {key: text for key, text in run.data.tags.items() if key not in (SENT, SERVER_RUN, PARENT)}


def _delete_when_sent(kept: Store) -> None:
    """Delete the kept runs once the server has all of them."""
    with store.reported(kept.uri), store.lock():
        if all(SENT in run.data.tags for run in rows.search(kept)) and (folder := store.kept_folder()):
            shutil.rmtree(folder)
