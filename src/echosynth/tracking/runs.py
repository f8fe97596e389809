"""Runs: one parent for one execution of the pipeline, one child for each stage that has curves.

See `echosynth.tracking.rows` for how the stages of one execution find their parent. Where a server does not answer,
or answers no more, runs go on in a store of the workspace (`echosynth.tracking.store.writable`);
training does not notice.
"""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from echosynth.common.errors import EchosynthError
from echosynth.common.termination import Terminated, termination_as_exception
from echosynth.common.yaml12 import read_yaml
from echosynth.tracking import history, origin, processes, rows, store
from echosynth.tracking.closing import close_dead
from echosynth.tracking.logger import RunLogger
from echosynth.tracking.record import Context, Record, flat_params
from echosynth.tracking.rows import PARENT, PIPELINE
from echosynth.tracking.store import Store

__all__ = ["PIPELINE", "Context", "RunLogger", "child_run", "close_dead", "fail_parent", "finish_parent", "flat_params"]

RESULT = "echosynth.result"


@contextmanager
def child_run(
    name: str,
    stage: str,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    work: str = "",
    late: bool = False,
) -> Iterator[RunLogger]:
    """A run for one stage below the parent of this execution; both are made where need be.

    An unfinished child of the same name, parameters and work, left by an attempt that failed or was killed, is
    continued; where the work begins anew, the earlier child stays as it is beside the new one, but for one that is
    FINISHED: of each name the row has one of these, the last. The run ends as FINISHED; as FAILED, with the sentence in
    the tag `error`, when the block raises; as KILLED on Ctrl-C or SIGTERM. The two latter make the parent FAILED; a
    worker of the stage leaves that to the stage. Names must differ among children that run at the same time.

    Args:
        name: name of the run, such as "resnet18 mixed 500 seed 0".
        stage: the stage of dvc.yaml.
        params: nested or flat parameters of this stage.
        tags: further tags, facts of the work.
        work: fingerprint of the state from which the work goes on after a kill, see `echosynth.common.resume`; it says
            that code and data are the same. Empty where the work always begins anew.
        late: work that comes after the pipeline, such as registering a model: the run goes below the latest execution
            with these parameters, finished or not, whose status it leaves alone; without one it stands by itself. It
            is not kept for later when a server does not answer.

    Raises:
        Unreachable: `late`, and the server does not answer.
        EchosynthError: the store cannot be used.
    """
    record = Record(name, stage, dict(tags or {}), flat_params(params or {}))
    if late:
        run = _child(store.connect(), record, work, late=True)
    else:
        run = _opened(lambda place: _child(place, record, work))
        run.watch_system()
    try:
        with termination_as_exception():
            yield run
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt | Terminated)
        with suppress(EchosynthError):  # the first error is the one to report
            run.end("KILLED" if killed else "FAILED", rows.sentence(error))
            if not late and parent_process() is None:  # the row is the stage's, whose worker this may be
                with store.reported(run.place.uri):
                    rows.end(run.place, run.parent, "FAILED", f"{name}: {rows.sentence(error)}")
        if isinstance(error, Terminated):
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    if not late:
        run.replace_siblings()
    run.end("FINISHED")


def finish_parent(
    scores: Mapping[str, float],
    params: Mapping[str, Any],
    artifacts: Sequence[Path] = (),
    reasons: Mapping[str, str] | None = None,
) -> str:
    """Complete the row of this execution: final scores, all parameters, artifacts, where it comes from as it is now,
    status FINISHED. A finished row of the same result that DVC did not keep is marked as replaced.

    Args:
        scores: name -> number, the columns by which executions are compared.
        params: all parameters, nested or flat; those that the parent holds from its start are not written again.
        artifacts: files and folders.
        reasons: why scores are absent, as tags.

    Returns:
        Id of the parent run.

    Raises:
        EchosynthError: the store cannot be used.
    """
    held = read_yaml(origin.PARAMS) if origin.PARAMS.is_file() else {}
    tags = origin.origin_tags() | dict(reasons or {}) | {RESULT: origin.result_key(held, scores)}

    def parent(place: Store) -> RunLogger:
        run = _parent(place)
        with store.reported(place.uri):
            rows.log(place, run.id, flat_params(params))
            rows.log_tags(place, run.id, tags)
            _replace_lost(place, run.id, tags, artifacts)
        return replace(run, _elsewhere=parent)

    run = _opened(parent)
    run.metrics(scores)
    for path in artifacts:
        run.artifact(path)
    run.end("FINISHED")
    return run.id


def fail_parent(error: BaseException, stage: str, *, private: bool = False) -> None:
    """Mark the row of this execution, which is made where need be, as FAILED; for a stage that has no run of its own.

    Nothing is raised: the error itself is what counts. A row whose failure is marked already stays as it is. Where
    there is no params.yaml there is no execution, and nothing is made.

    Args:
        error: why.
        stage: of dvc.yaml.
        private: the sentence may name files of patients, so it is left out.
    """
    reason = f"{stage}: {rows.private_sentence(error) if private else rows.sentence(error)}"
    with suppress(Exception):
        marked = False
        for place in store.existing():
            with store.reported(place.uri), store.lock():
                marked |= rows.fail_open_parent(place, reason)
                close_dead(place)  # workers of the stage that were killed
        if not marked and origin.PARAMS.is_file():
            _opened(_parent).end("FAILED", reason)


def _parent(place: Store) -> RunLogger:
    """The row of this execution, to be written to."""
    with store.reported(place.uri), store.lock():
        return RunLogger(rows.open_parent(place), "", place, _elsewhere=_parent)


def _replace_lost(place: Store, row: str, tags: Mapping[str, str], written: Sequence[Path]) -> None:
    """Let a row take the place of finished ones of this execution and result that DVC was killed before it kept.

    They ended at the same commit and the same dvc.lock as this one is about to, so that DVC has noted no stage since,
    and that file does not hold what was written: it would where `dvc repro --force` runs a kept result again.
    """
    own = {"dvc.lock": origin.lock_hash(), **{key: tags.get(key, "") for key in (RESULT, "mlflow.source.git.commit")}}
    executed = rows.executions(place, origin.params_hash(), origin.parent_key()) if own["dvc.lock"] else []
    lost = [
        str(run.info.run_id)
        for run in executed
        if run.info.status == "FINISHED" and all(run.data.tags.get(key, "") == text for key, text in own.items())
    ]
    if not lost:
        return
    kept = history.outs(history.stages(origin.lock_path().read_bytes()))
    if any(kept.get(path.as_posix()) != origin.data_hash(path) for path in written):
        for earlier in lost:
            rows.replace(place, earlier, row)


def _opened(at: Callable[[Store], RunLogger]) -> RunLogger:
    """A run in the store, or in the one for runs that wait when the server has ceased to answer just now."""
    with store.reported(), store.lock():  # so that nobody sends and deletes the waiting ones meanwhile
        place = store.writable()
        _close_dead_once(place)
        try:
            return at(place)
        except store.Unreachable as error:
            store.lost(error)
            return at(store.kept())


def _child(place: Store, record: Record, work: str, *, late: bool = False) -> RunLogger:
    """The child that this attempt goes on with, see `rows.goes_on`, or a new one."""
    tags = record.tags | ({rows.WORK: work} if work else {})
    with store.reported(place.uri), store.lock():
        parent = rows.latest_parent(place) if late else rows.open_parent(place)
        points: set[tuple[str, int]] = set()
        for found in rows.children(place, parent) if parent else []:
            if rows.goes_on(found, record.name, record.params, work):
                rows.reopen(place, found, processes.mine())
                run_id = str(found.info.run_id)
                rows.log_tags(place, run_id, {**origin.origin_tags(), **tags})
                points = {(key, point.step) for key, curve in rows.history(place, found).items() for point in curve}
                break
        else:
            above = {PARENT: parent} if parent else {}
            run_id = rows.create(place, record.name, record.stage, processes.mine(), {**above, **tags})
        rows.log(place, run_id, record.params)
    elsewhere = None if late else lambda other: _child(other, record, work)
    last = max((step for _, step in points), default=0)
    return RunLogger(run_id, parent, place, record, elsewhere, points, _step=last)


_looked_after: set[str] = set()  # tracking URIs


def _close_dead_once(place: Store) -> None:
    """At the first run of this process, tidy up behind those that were killed."""
    if place.uri not in _looked_after:
        _looked_after.add(place.uri)
        with suppress(EchosynthError):  # what matters now is the run that begins
            close_dead(place)
