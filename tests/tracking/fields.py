"""Two runs compared field by field: what a live run and the one that `echosynth sync` makes must have in common."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.entities import Run

from echosynth.common.files import file_hash

# What only the clock and the machine knew is in no file.
UNWRITTEN = re.compile(r"system/.*|train_seconds|(mean_)?images_per_second")
# Tags that name the process, the moment, or the call of `echosynth sync`; git does not tell whether files were changed.
OWN_TAGS = {
    "echosynth.process",
    "echosynth.work",
    "echosynth.pipeline",
    "git.dirty",
    "dvc.lock",
    "mlflow.parentRunId",
    "echosynth.synced",
    "echosynth.revision",
    "echosynth.complete",
}
Fields = dict[str, Any]


def fields_of(client: MlflowClient, run: Run) -> Fields:
    """All that a run holds but for what is written in no file; artifacts by their hashes."""
    folder = Path(url2pathname(urlsplit(run.info.artifact_uri).path))
    return {
        "status": run.info.status,
        "parameters": run.data.params,
        "metrics": {
            key: sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, key))
            for key in run.data.metrics
            if not UNWRITTEN.fullmatch(key)
        },
        "tags": {key: text for key, text in run.data.tags.items() if key not in OWN_TAGS},
        "data sets": sorted(
            (each.dataset.name, each.dataset.digest, each.dataset.source, each.tags[0].value)
            for each in run.inputs.dataset_inputs
        ),
        "artifacts": {
            path.relative_to(folder).as_posix(): file_hash(path) for path in folder.rglob("*") if path.is_file()
        },
    }


def assert_equal(one: dict[str, Fields], other: dict[str, Fields]) -> None:
    """Compare rows run by run and field by field."""
    assert set(one) == set(other)
    for name, run in one.items():
        for field, value in run.items():
            assert other[name][field] == value, (name, field)
