"""The logger of a run: it turns what a stage did into an MLflow run and into the record of `echosynth.tracking.record`.

A stage calls it while it works; `echosynth sync` hands it a whole record. Numbers of the clock and of the machine go to
MLflow, and never into the record.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from echosynth.common.errors import EchosynthError
from echosynth.tracking import origin, rows, store, times
from echosynth.tracking.record import RECORD, Context, Dataset, Record
from echosynth.tracking.rows import SERVER_RUN
from echosynth.tracking.store import Store
from echosynth.tracking.system import SystemMetrics, wanted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput


@dataclass
class RunLogger:
    """A run that is being written to.

    Attributes:
        id: MLflow's id of the run; another one from the moment that its server does not answer any more.
        parent: id of the parent run; empty for a run that stands by itself.
        place: where it is.
        record: what was done so far.
    """

    id: str
    parent: str
    place: Store
    record: Record = field(default_factory=lambda: Record("", ""))
    _elsewhere: "Callable[[Store], RunLogger] | None" = None  # opens this run in another store
    _points: set[tuple[str, int]] = field(default_factory=set)  # that the run holds
    _system: SystemMetrics | None = None
    _step: int = 0
    _speeds: dict[str, float] = field(default_factory=dict)  # final ones

    def metrics(
        self, values: Mapping[str, float], step: int | None = None, speed: Mapping[str, float] | None = None
    ) -> None:
        """Log numbers, all at once.

        Args:
            values: name -> number, which depends on the work alone.
            step: where on the curve; None for a final number, which stands at the end of the curves. In a continued
                run, points that an earlier attempt logged stay as they are: training that resumes repeats them, and
                they would be drawn twice.
            speed: numbers that differ from time to time, such as seconds and images a second; not in the record. Final
                ones are kept apart when the record is saved, see `echosynth.tracking.times`.
        """
        if step is None:
            self._speeds |= speed or {}
        self._step = max(self._step, step or 0)
        at = self._step if step is None else step
        self.record.add(values, at, final=step is None)
        self._log_points([(name, at, value) for name, value in {**values, **(speed or {})}.items()], step is None)

    def curve(self, points: Iterable[Mapping[str, float]]) -> None:
        """Log a whole curve: a training that went on from a saved state has made only the rest of it here.

        Args:
            points: numbers by name, with their "step".
        """
        every = []
        for point in points:
            step, values = int(point["step"]), {name: value for name, value in point.items() if name != "step"}
            self._step = max(self._step, step)
            self.record.add(values, step)
            every += [(name, step, value) for name, value in values.items()]
        self._log_points(every)

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

    def picture(self, coded: bytes, name: str) -> None:
        """Log a coded picture as `name`, whose ending (such as .png) says the format."""

        def write() -> None:
            with TemporaryDirectory(prefix="echosynth-") as folder:
                (Path(folder) / name).write_bytes(coded)
                self._client.log_artifact(self.id, str(Path(folder) / name))

        self._write(write)

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
        path, md5 = (name, data) if isinstance(data, str) else (data.as_posix(), origin.data_hash(data))
        dataset = Dataset(name, path, md5, context)
        self.record.datasets.append(dataset)
        self._write(lambda: self._client.log_inputs(self.id, datasets=[_input(dataset)]))

    def save(self, folder: Path, *files: str, pictures: Mapping[str, bytes] | None = None) -> None:
        """Write the record into the output of a stage, and log those files of the output that belong to the run.

        Args:
            folder: the output, not yet in its place.
            files: names of files that are in it, such as "metrics.json" and "snapshots/step-0000010.png".
            pictures: name -> coded picture, which are written into it too.
        """
        for name, coded in (pictures or {}).items():
            (folder / name).write_bytes(coded)
        self.record.artifacts = [*files, *(pictures or {})]
        self.record.write(folder)
        if self._speeds:
            times.note(folder / RECORD, self._speeds)
        for name in self.record.artifacts:
            self.artifact(folder / name, Path(name).parent.as_posix().removeprefix("."))

    def replay(self, record: Record, files: Path, milliseconds: int) -> None:
        """Log a whole record, as its stage did while it worked; what the run holds of it already is not doubled.

        Args:
            record: what was done.
            files: folder with the artifacts.
            milliseconds: when, since 1970.
        """
        from mlflow.entities import Metric

        points = [Metric(name, value, milliseconds, step) for name, step, value in record.points()]
        self._write(lambda: rows.log(self.place, self.id, record.params, points))
        if record.datasets:
            self._write(lambda: self._client.log_inputs(self.id, datasets=[_input(each) for each in record.datasets]))
        if any(files.iterdir()):
            self.artifact(files)

    def watch_system(self) -> None:
        """Log system metrics with each point of a curve, and once at the end, until `end`."""
        if wanted():
            with suppress(Exception):  # a machine that will not be measured is no reason to stop
                self._system = SystemMetrics(self.id, self.place.uri)

    def replace_siblings(self) -> None:
        """Take the place of earlier finished runs of this name, see `rows.replace_siblings`."""
        self._write(lambda: rows.replace_siblings(self.place, self.parent, self.record.name, self.id))

    def end(self, status: str, error: str = "") -> None:
        """End the run as FINISHED, FAILED or KILLED, the two latter with the sentence that says why."""
        if self._system:
            self._system.stop()
            system, self._system = self._system.take(last=True), None
            self._log_points([(name, self._step, value) for name, value in system.items()], final=True)
        self._write(lambda: rows.end(self.place, self.id, status, error))

    @property
    def _client(self) -> "MlflowClient":
        return self.place.client

    def _log_points(self, points: Iterable[tuple[str, int, float]], final: bool = False) -> None:
        """Log name, step and number of points, of a curve those that the run lacks, with the machine's load then."""
        from mlflow.entities import Metric

        fresh = [point for point in points if final or point[:2] not in self._points]
        if not fresh:
            return
        if self._system and not final:
            fresh += [(name, self._step, value) for name, value in self._system.take().items()]
        self._points |= {(name, step) for name, step, _ in fresh}
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, step, value in fresh]
        self._write(lambda: rows.log(self.place, self.id, {}, metrics))

    def _write(self, call: Callable[[], object]) -> None:
        """Do it here, or where the run goes on when nobody answers here."""
        try:
            self._call(call)
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
            self._call(call)

    def _call(self, call: Callable[[], object]) -> None:
        """Do it here; a local store is not interrupted in the middle of it."""
        with store.reported(self.place.uri), store.whole(self.place.uri):
            call()


def _input(dataset: Dataset) -> "DatasetInput":
    """A data set as MLflow holds it."""
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    source = json.dumps({"uri": dataset.path, "md5": dataset.md5})
    entity = MlflowDataset(name=dataset.name, digest=dataset.md5[:36], source_type="local", source=source)
    return DatasetInput(entity, [InputTag("mlflow.data.context", dataset.context)])
