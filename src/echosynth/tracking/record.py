"""The record of a run: what a stage did, kept as the file run.json in its output.

MLflow's run is a view of it, made by `echosynth.tracking.logger` while the stage works and again by `echosynth sync`. A
record depends on the work alone, as DVC compares its bytes: clock times, speeds and the machine's load are not in it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from echosynth.common.files import atomic_file
from echosynth.config.parameters import flat_tree

RECORD = "run.json"
Context = Literal["training", "validation", "test", "evaluation"]


@dataclass(frozen=True)
class Dataset:
    """Data that went into a run.

    Attributes:
        name: such as "subset-150".
        path: file or folder, relative to the project's root.
        md5: its hash, as dvc.lock holds it.
        context: what it was used for.
    """

    name: str
    path: str
    md5: str
    context: Context


@dataclass
class Record:
    """What a stage did.

    Attributes:
        name: of the run.
        stage: of dvc.yaml.
        tags: facts of the work; none about machine, process or time.
        params: flat, as text.
        datasets: what went in.
        metrics: name -> step -> number. A curve has many steps, a final number the one at which the curves end.
        artifacts: files of the output that belong to the run, relative to the folder of the record.
    """

    name: str
    stage: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    metrics: dict[str, dict[int, float]] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)

    def add(self, values: Mapping[str, float], step: int, *, final: bool = False) -> None:
        """Note numbers at a step. The first one of a curve stays where a resumed training repeats a step; a final
        number takes the place of an earlier one."""
        for name, value in values.items():
            curve = self.metrics.setdefault(name, {})
            curve[step] = float(value) if final else curve.get(step, float(value))

    def points(self) -> Iterable[tuple[str, int, float]]:
        """Name, step and number of all points of all curves."""
        return ((name, step, value) for name, curve in self.metrics.items() for step, value in curve.items())

    def write(self, folder: Path) -> None:
        """Write run.json whole or not at all; the same bytes for the same content, in whatever order it was noted."""
        metrics = {name: dict(sorted(curve.items())) for name, curve in sorted(self.metrics.items())}
        content = asdict(self) | {"metrics": metrics, "artifacts": sorted(self.artifacts)}
        with atomic_file(folder / RECORD) as part:
            part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def parse(cls, text: bytes) -> "Record":
        """Read the content of a run.json.

        Raises:
            ValueError: it is torn or of another form.
        """
        try:
            tree = json.loads(text)
            metrics = {
                str(name): {int(step): float(value) for step, value in curve.items()}
                for name, curve in tree["metrics"].items()
            }
            datasets = [Dataset(**entry) for entry in tree["datasets"]]
            record = cls(
                str(tree["name"]), str(tree["stage"]), dict(tree["tags"]), dict(tree["params"]), datasets, metrics
            )
            record.artifacts = [str(name) for name in tree["artifacts"]]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"no record of a run ({type(error).__name__}: {error})") from error
        texts = [*record.tags.items(), *record.params.items()]
        if not all(isinstance(word, str) for pair in texts for word in pair) or not all(
            isinstance(data.md5, str) and data.context in get_args(Context) for data in datasets
        ):
            raise ValueError("no record of a run: tags, parameters or data sets are of another form")
        return record


def flat_params(tree: Mapping[str, Any]) -> dict[str, str]:
    """Nested parameters as "section.key" -> text; lists are written as JSON."""
    flat = flat_tree(tree)
    return {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in flat.items()}
