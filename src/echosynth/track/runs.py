"""Runs: one parent for one execution of the pipeline, one child for each stage that has curves.

See `echosynth.track.parents` for how the stages of one execution find their parent. Where a server does not answer, or
answers no more, runs go on in a store of the workspace (`echosynth.track.store.writable`); training does not notice.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from echosynth.errors import EchosynthError
from echosynth.track import origin, parents, processes, rows, store
from echosynth.track.closing import close_dead
from echosynth.track.parents import flat_params
from echosynth.track.processes import Terminated, termination_as_exception
from echosynth.track.rows import PARENT, PIPELINE, SERVER_RUN
from echosynth.track.store import Store
from echosynth.track.system import SystemMetrics, wanted
from echosynth.yaml12 import read_yaml

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

__all__ = ["PIPELINE", "Run", "child_run", "close_dead", "fail_parent", "finish_parent", "flat_params"]

RESULT = "echosynth.result"
Context = Literal["training", "validation", "test", "evaluation"]
T = TypeVar("T")


@dataclass
class Run:
    """A run that is being written to.

    Attributes:
        id: MLflow's id of the run; another one from the moment that its server does not answer any more.
        parent: id of the parent run; empty for a run that stands by itself.
        place: where it is.
    """

    id: str
    parent: str
    place: Store
    _elsewhere: Callable[[Store], "Run"] | None = None  # opens this run in another store
    _points: set[tuple[str, int]] = field(default_factory=set)
    _system: SystemMetrics | None = None
    _step: int = 0

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers, all at once.

        Args:
            values: name -> number.
            step: where on the curve; None for a final number, which stands at the end of the curves. In a continued
                run, points that an earlier attempt logged stay as they are: training that resumes repeats them, and
                they would be drawn twice.
        """
        from mlflow.entities import Metric

        if step is not None:
            self._step = max(self._step, step)
            values = {**values, **(self._system.take() if self._system else {})}
        now = int(time.time() * 1000)
        fresh = [
            Metric(name, float(value), now, self._step if step is None else step)
            for name, value in values.items()
            if step is None or (name, step) not in self._points
        ]
        self._write(lambda: rows.log_metrics(self.place, self.id, fresh))

    def artifact(self, path: Path, folder: str = "") -> None:
        """Log a file, or a folder with all that it holds, under `folder` of the run's artifacts.

        Raises:
            EchosynthError: nothing is there, or the store cannot be used.
        """
        if not path.exists():
            raise EchosynthError(f"{path} is missing, so it cannot be logged; run `dvc repro` to make it")
        if path.is_dir():
            self._write(lambda: self._client.log_artifacts(self.id, str(path), folder or None))
        else:
            self._write(lambda: self._client.log_artifact(self.id, str(path), folder or None))

    def figure(self, figure: "Figure", name: str) -> None:
        """Log a Matplotlib figure as `name`, whose ending (such as .png) says the format."""
        self._write(lambda: self._client.log_figure(self.id, figure, name))

    def picture(self, image: "npt.NDArray[np.uint8]", name: str) -> None:
        """Log an image array, grey (H, W) or RGB (H, W, 3), as the PNG file `name`."""
        self._write(lambda: self._client.log_image(self.id, image, name))

    def dict(self, content: Mapping[str, Any], name: str) -> None:
        """Log a mapping as `name`, which ends in .json or .yaml."""
        self._write(lambda: self._client.log_dict(self.id, dict(content), name))

    def dataset(self, name: str, data: Path | str, context: Context) -> None:
        """Log which data went in.

        Args:
            name: such as "subset-150".
            data: a file or folder, whose hash is computed as DVC does, or that hash itself as text.
            context: what the data was used for.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        digest = data if isinstance(data, str) else origin.data_hash(data)
        source = json.dumps({"uri": name if isinstance(data, str) else data.as_posix(), "md5": digest})
        dataset = Dataset(name=name, digest=digest[:36], source_type="local", source=source)
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
        self._write(lambda: self._client.log_inputs(self.id, datasets=inputs))

    def watch_system(self) -> None:
        """Log system metrics with each point of a curve, and once at the end, until `end`."""
        if wanted():
            with suppress(Exception):  # a machine that will not be measured is no reason to stop
                self._system = SystemMetrics(self.id, self.place.uri)

    def end(self, status: str, error: str = "") -> None:
        """End the run as FINISHED, FAILED or KILLED, the two latter with the sentence that says why."""
        if self._system:
            self._system.stop()
            system, self._system = self._system.take(last=True), None
            self.metrics(system, self._step)
        self._write(lambda: rows.end(self.place, self.id, status, error))

    @property
    def _client(self) -> "MlflowClient":
        return self.place.client

    def _write(self, call: Callable[[], object]) -> None:
        """Do it here, or where the run goes on when nobody answers here."""
        try:
            with store.reported(self.place.uri):
                call()
        except store.Unreachable as error:
            if self._elsewhere is None:
                raise
            store.lost(error)
            with store.reported(), store.lock():
                other = self._elsewhere(store.kept())
            with store.reported(other.place.uri):
                rows.log_tags(other.place, other.id, {SERVER_RUN: self.id})
                if self.parent:
                    rows.log_tags(other.place, other.parent, {SERVER_RUN: self.parent})
            self.id, self.parent, self.place, self._elsewhere = other.id, other.parent, other.place, None
            self._points |= other._points
            with store.reported(self.place.uri):
                call()


@contextmanager
def child_run(
    name: str,
    stage: str,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    late: bool = False,
) -> Iterator[Run]:
    """A run for one stage below the parent of this execution; both are made where need be.

    An unfinished child of the same name and parameters, left by an attempt that failed or was killed, is continued. The
    run ends as FINISHED; as FAILED, with the sentence in the tag `error`, when the block raises; as KILLED on Ctrl-C or
    SIGTERM. The two latter make the parent FAILED. Names must differ among children that run at the same time.

    Args:
        name: name of the run, such as "resnet18 mixed 500 seed 0".
        stage: the stage of dvc.yaml.
        params: nested or flat parameters of this stage.
        tags: further tags.
        late: work that comes after the pipeline, such as registering a model: the run goes below the latest execution
            with these parameters, finished or not, whose status it leaves alone; without one it stands by itself. It
            is not kept for later when a server does not answer.

    Raises:
        Unreachable: `late`, and the server does not answer.
        EchosynthError: the store cannot be used.
    """
    flat = flat_params(params or {})
    if late:
        run = _child(store.connect(), name, stage, flat, tags or {}, late=True)
    else:
        run = _opened(lambda place: _child(place, name, stage, flat, tags or {}))
        run.watch_system()
    try:
        with termination_as_exception():
            yield run
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt | Terminated)
        with suppress(EchosynthError):  # the first error is the one to report
            run.end("KILLED" if killed else "FAILED", rows.sentence(error))
            if not late:
                with store.reported(run.place.uri):
                    rows.end(run.place, run.parent, "FAILED", f"{name}: {rows.sentence(error)}")
        if isinstance(error, Terminated):
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    run.end("FINISHED")


def finish_parent(scores: Mapping[str, float], params: Mapping[str, Any], artifacts: Sequence[Path] = ()) -> str:
    """Complete the row of this execution: final scores, all parameters, artifacts, where it comes from as it is now,
    status FINISHED.

    Args:
        scores: name -> number, the columns by which executions are compared.
        params: all parameters, nested or flat; those that the parent holds from its start are not written again.
        artifacts: files and folders.

    Returns:
        Id of the parent run.

    Raises:
        EchosynthError: the store cannot be used.
    """
    held = read_yaml(origin.PARAMS) if origin.PARAMS.is_file() else {}
    tags = origin.origin_tags() | {RESULT: origin.result_key(held, scores)}

    def parent(place: Store) -> Run:
        with store.reported(place.uri), store.lock():
            run_id = parents.open_parent(place)
            rows.log_params(place, run_id, flat_params(params))
            rows.log_tags(place, run_id, tags)
        return Run(run_id, "", place, parent)

    run = _opened(parent)
    run.metrics(scores)
    for path in artifacts:
        run.artifact(path)
    run.end("FINISHED")
    return run.id


def fail_parent(error: BaseException) -> None:
    """Mark the row of this execution, where one is open, as FAILED; for a stage that has no run of its own. Nothing is
    raised and no store is made: the error itself is what counts.

    Args:
        error: why.
    """
    with suppress(Exception):
        for place in store.existing():
            with store.reported(place.uri), store.lock():
                parents.fail_parent(place, rows.sentence(error))


def _opened(at: Callable[[Store], Run]) -> Run:
    """A run in the store, or in the one for runs that wait when the server has ceased to answer just now."""
    with store.reported(), store.lock():  # so that nobody sends and deletes the waiting ones meanwhile
        place = store.writable()
        _close_dead_once(place)
        try:
            return at(place)
        except store.Unreachable as error:
            store.lost(error)
            return at(store.kept())


def _child(
    place: Store, name: str, stage: str, params: Mapping[str, str], tags: Mapping[str, str], *, late: bool = False
) -> Run:
    """The child of this name and these parameters, or a new one.

    A finished one is taken up too: its stage was stopped later, its result is gone and the work is done again.
    """
    with store.reported(place.uri), store.lock():
        parent = parents.latest_parent(place) if late else parents.open_parent(place)
        points: set[tuple[str, int]] = set()
        for found in rows.search(place, f"tags.`{PARENT}` = '{parent}'") if parent else []:
            if rows.same(found, name, params):
                rows.reopen(place, found, processes.mine())
                run_id = str(found.info.run_id)
                points = {(key, point.step) for key, curve in rows.history(place, found).items() for point in curve}
                break
        else:
            above = {PARENT: parent} if parent else {}
            run_id = rows.create(place, name, stage, processes.mine(), {**above, **tags})
        rows.log_params(place, run_id, params)
    elsewhere = None if late else lambda other: _child(other, name, stage, params, tags)
    return Run(run_id, parent, place, elsewhere, points)


_looked_after: set[str] = set()  # tracking URIs


def _close_dead_once(place: Store) -> None:
    """At the first run of this process, tidy up behind those that were killed."""
    if place.uri not in _looked_after:
        _looked_after.add(place.uri)
        with suppress(EchosynthError):  # what matters now is the run that begins
            close_dead(place)
