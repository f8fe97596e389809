"""A run that is being written to: numbers, files, pictures, data sets, and what the machine does meanwhile."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from echosynth.common.errors import EchosynthError
from echosynth.tracking import origin, rows, store
from echosynth.tracking.rows import SERVER_RUN
from echosynth.tracking.store import Store
from echosynth.tracking.system import SystemMetrics, wanted

if TYPE_CHECKING:
    from mlflow import MlflowClient

Context = Literal["training", "validation", "test", "evaluation"]


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
        self._write(lambda: rows.log(self.place, self.id, {}, fresh))

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
