"""Runs: one parent for one execution of the pipeline, one child for each stage that has curves.

A parent is found again by its key, so that stages, which are processes of their own, share it, and so that a pipeline
that was stopped half-way goes on in the same row. A finished execution keeps its row: the next one gets a new row.
"""

import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from echosynth.config import read_yaml
from echosynth.errors import EchosynthError
from echosynth.track import origin, store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from mlflow.entities import Run as MlflowRun

PIPELINE = "echosynth.pipeline"
STAGE = "echosynth.stage"
PARAMETERS = "echosynth.parameters"
PARENT = "mlflow.parentRunId"
PARAMS_A_BATCH = 100  # limits of MLflow's interface
METRICS_A_BATCH = 1000
OPEN = ("RUNNING", "FAILED")
Context = Literal["training", "validation", "test", "evaluation"]


class Terminated(BaseException):
    """SIGTERM, raised as an exception so that the run is marked before the process goes."""


@dataclass
class Run:
    """A run that is being written to.

    Attributes:
        id: MLflow's id of the run.
        parent: id of the parent run; empty for a run that stands by itself.
    """

    id: str
    parent: str
    _points: set[tuple[str, int]] = field(default_factory=set)

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers, all at once.

        Args:
            values: name -> number.
            step: where on the curve; None for a final number. In a continued run, points that an earlier attempt
                logged stay as they are: training that resumes repeats them, and they would be drawn twice.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        fresh = [
            Metric(name, float(value), now, step or 0)
            for name, value in values.items()
            if step is None or (name, step) not in self._points
        ]
        with store.reported():
            for start in range(0, len(fresh), METRICS_A_BATCH):
                store.client().log_batch(self.id, metrics=fresh[start : start + METRICS_A_BATCH])

    def artifact(self, path: Path, folder: str = "") -> None:
        """Log a file, or a folder with all that it holds, under `folder` of the run's artifacts.

        Raises:
            EchosynthError: nothing is there, or the store cannot be used.
        """
        if not path.exists():
            raise EchosynthError(f"{path} is missing, so it cannot be logged; run `dvc repro` to make it")
        with store.reported():
            if path.is_dir():
                store.client().log_artifacts(self.id, str(path), folder or None)
            else:
                store.client().log_artifact(self.id, str(path), folder or None)

    def figure(self, figure: "Figure", name: str) -> None:
        """Log a Matplotlib figure as `name`, whose ending (such as .png) says the format."""
        with store.reported():
            store.client().log_figure(self.id, figure, name)

    def picture(self, image: "npt.NDArray[np.uint8]", name: str) -> None:
        """Log an image array, grey (H, W) or RGB (H, W, 3), as the PNG file `name`."""
        with store.reported():
            store.client().log_image(self.id, image, name)

    def dict(self, content: Mapping[str, Any], name: str) -> None:
        """Log a mapping as `name`, which ends in .json or .yaml."""
        with store.reported():
            store.client().log_dict(self.id, dict(content), name)

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
        with store.reported():
            tag = InputTag("mlflow.data.context", context)
            store.client().log_inputs(self.id, datasets=[DatasetInput(dataset, [tag])])


def flat_params(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as "section.key" -> text; lists are written as JSON."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flat_params(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat


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
    SIGTERM. The two latter make the parent FAILED. A killed run cannot be told from a live one, so names must differ
    among children that run at the same time.

    Args:
        name: name of the run, such as "resnet18 mixed 500 seed 0".
        stage: the stage of dvc.yaml.
        params: nested or flat parameters of this stage.
        tags: further tags.
        late: work that comes after the pipeline, such as registering a model: the run goes below the latest execution
            with these parameters, finished or not, whose status it leaves alone; without one it stands by itself.

    Raises:
        EchosynthError: the store cannot be used.
    """
    flat = flat_params(params or {})
    with store.reported(), store.lock():
        parent = _latest_parent() if late else _parent()
        run = _child(parent, name, stage, flat, tags or {})
    try:
        with _termination_as_exception():
            yield run
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt | Terminated)
        with suppress(EchosynthError):  # the first error is the one to report
            _end(run.id, "KILLED" if killed else "FAILED", _sentence(error))
            if not late:
                _end(parent, "FAILED", f"{name}: {_sentence(error)}")
        if isinstance(error, Terminated):
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    _end(run.id, "FINISHED")


def finish_parent(scores: Mapping[str, float], params: Mapping[str, Any], artifacts: Sequence[Path] = ()) -> str:
    """Complete the row of this execution: final scores, all parameters, artifacts, status FINISHED.

    Args:
        scores: name -> number, the columns by which executions are compared.
        params: all parameters, nested or flat; those that the parent holds from its start are not written again.
        artifacts: files and folders.

    Returns:
        Id of the parent run.

    Raises:
        EchosynthError: the store cannot be used.
    """
    with store.reported(), store.lock():
        parent = _parent()
        _log_params(parent, flat_params(params))
    run = Run(parent, parent)
    run.metrics(scores)
    for path in artifacts:
        run.artifact(path)
    _end(parent, "FINISHED")
    return parent


def _parent() -> str:
    """Id of the unfinished parent of this execution, set to RUNNING again where it had failed, or of a new one."""
    for run in _search(f"{_same_params()} and tags.`{PIPELINE}` = '{origin.parent_key()}'"):
        if run.info.status in OPEN:
            _reopen(run)
            return str(run.info.run_id)
    parent = _create(origin.execution_name(), "pipeline", {})
    _log_params(parent, flat_params(read_yaml(origin.PARAMS)) if origin.PARAMS.is_file() else {})
    return parent


def _latest_parent() -> str:
    """Id of the latest execution with these parameters, whatever became of it or was committed since, or empty."""
    return next((str(run.info.run_id) for run in _search(_same_params())), "")


def _same_params() -> str:
    return f"tags.`{STAGE}` = 'pipeline' and tags.`{PARAMETERS}` = '{origin.params_hash()}'"


def _child(parent: str, name: str, stage: str, params: Mapping[str, str], tags: Mapping[str, str]) -> Run:
    """The child of this name and these parameters under an unfinished parent, or a new one.

    A finished one is taken up too: its stage was stopped later, its result is gone and the work is done again.
    """
    for run in _search(f"tags.`{PARENT}` = '{parent}'") if parent else []:
        same = run.info.run_name == name and all(run.data.params.get(key, text) == text for key, text in params.items())
        if same:
            _reopen(run)
            run_id = str(run.info.run_id)
            client = store.client()
            points = {(key, point.step) for key in run.data.metrics for point in client.get_metric_history(run_id, key)}
            break
    else:
        run_id, points = _create(name, stage, {PARENT: parent, **tags} if parent else tags), set()
    _log_params(run_id, params)
    return Run(run_id, parent, points)


def _create(name: str, stage: str, tags: Mapping[str, str]) -> str:
    """Id of a new run."""
    known = {
        PIPELINE: origin.parent_key(),
        PARAMETERS: origin.params_hash(),
        STAGE: stage,
        "mlflow.source.name": stage,
        "mlflow.source.type": "LOCAL",
        **origin.origin_tags(),
        **tags,
    }
    return str(store.client().create_run(store.experiment_id(), tags=known, run_name=name).info.run_id)


def _search(condition: str) -> "list[MlflowRun]":
    """All runs that fulfil `condition`, the latest first."""
    found = store.client().search_runs([store.experiment_id()], condition, order_by=["attributes.start_time DESC"])
    return list(found)


def _reopen(run: "MlflowRun") -> None:
    """Set a run to RUNNING again."""
    client = store.client()
    if run.info.status != "RUNNING":
        client.update_run(run.info.run_id, status="RUNNING")
    if "error" in run.data.tags:
        client.delete_tag(run.info.run_id, "error")


def _end(run_id: str, status: str, error: str = "") -> None:
    with store.reported():
        client = store.client()
        if error:
            client.set_tag(run_id, "error", error)
        elif lock := origin.lock_hash():
            client.set_tag(run_id, "dvc.lock", lock)
        client.set_terminated(run_id, status)


def _log_params(run_id: str, params: Mapping[str, str]) -> None:
    """Log the parameters that the run does not hold yet; MLflow refuses to change one."""
    from mlflow.entities import Param

    client = store.client()
    held = client.get_run(run_id).data.params
    fresh = [Param(key, value) for key, value in params.items() if key not in held]
    for start in range(0, len(fresh), PARAMS_A_BATCH):
        client.log_batch(run_id, params=fresh[start : start + PARAMS_A_BATCH])


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, EchosynthError) else f"{type(error).__name__}: {error}".rstrip(": ")


@contextmanager
def _termination_as_exception() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM inside the block, unless somebody handles that signal already."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
