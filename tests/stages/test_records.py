"""The stages that have runs, on sets of a few pictures: what each leaves in its output gives its run again."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.tracking.fields import Fields, assert_equal, fields_of
from tests.tracking.results import SCORES, Repository, flat

from echosynth.common import paths
from echosynth.common.files import write_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.imagesets.store import write_image_set
from echosynth.stages import baseline, classify, diffusion, feature_network, fidelity, final, sample
from echosynth.tracking import rows, store
from echosynth.tracking.record import RECORD
from echosynth.tracking.runs import finish_parent
from echosynth.tracking.sync import Synced, sync

BEST = {"arm": "synthetic", "subset": "12", "architecture": "resnet18", "seed": 0}
STAGES: dict[str, tuple[Any, list[str], Path]] = {  # module, words of the command line, output
    "feature network": (feature_network, [], paths.FEATURE_NETWORK),
    "diffusion 12": (diffusion, ["12"], paths.DIFFUSION / "12"),
    "sample 12": (sample, ["12"], paths.SYNTHETIC / "12"),
    "gaussian 12": (baseline, ["12"], paths.BASELINES / "12"),
    "resnet18 synthetic 12 seed 0": (
        classify,
        ["synthetic", "12", "resnet18"],
        paths.cell_folder("synthetic", "12", "resnet18"),
    ),
    "resnet18 mixed-gaussian 12 seed 0": (
        classify,
        ["mixed-gaussian", "12", "resnet18"],
        paths.cell_folder("mixed-gaussian", "12", "resnet18"),
    ),
    "fidelity gaussian 12": (fidelity, ["12"], paths.FIDELITY / "12"),
    "final model": (final, [], paths.FINAL_SCORES),
}


class Killed(BaseException):
    """What no stage handles."""


@pytest.fixture
def project(
    workspace: Path, narrow: None, monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params]
) -> Repository:
    """A repository with 36 pictures, a third each for training, validation and test, and tiny parameters."""
    training = {"steps": 2, "batch_size": 4}
    tiny = params_with(
        data={"train_sources": ["tmed2"], "shift_sources": ["camus"]},
        split={"subsets": [12]},
        diffusion={
            "channels": [16, 32],
            "preconditioning": "none",  # to fit its Gaussians takes longer than all else
            "loss": "min-snr",
            "attention": [],
            "steps": 4,
            "log_every": 2,
            "checkpoint_every": 2,
            "snapshots": 2,
            "snapshot_images": 8,
        },
        sample={"per_view": 4, "evaluations": 2, "batch_size": 8},
        fidelity={"floor_repeats": 2},
        arms={"real": ["real"], "synthetic": ["synthetic"], "baseline": ["mixed-gaussian"]},
        classifier={
            **training,
            "budget": "steps",
            "seeds": [0],
            "evaluations": 2,
            "bootstrap": 20,
        },
    ).model_dump(mode="json")
    tiny["fidelity"]["training"] |= training
    Path("params.yaml").write_text(yaml.safe_dump(tiny))
    repository = Repository()
    for folder, source in ((paths.SOURCES, "tmed2"), (paths.SHIFT, "camus")):
        ids = [f"{source}-{number:012x}" for number in range(36)]
        facts: dict[str, Any] = {"id": ids, "source": source, "view": [*VIEWS] * 9, "group": [f"p{n}" for n in ids]}
        facts |= {"group_kind": "patient", "official_split": "", "moment": "", "frame": 0, "frames": 1}
        images = np.random.default_rng(len(source)).integers(0, 256, (36, 32, 32), dtype=np.uint8)
        table = pd.DataFrame(facts | {"width": 640, "height": 480, "synthetic": False})
        write_image_set(folder / source, images, table)
    ids = [f"tmed2-{number:012x}" for number in range(36)]
    paths.subset_file("12").parent.mkdir(parents=True)
    splits = ["train"] * 12 + ["validation"] * 12 + ["test"] * 12
    pd.DataFrame({"id": ids, "source": "tmed2", "split": splits}).to_csv(paths.ASSIGNMENT, index=False)
    pd.DataFrame({"id": ids[:12]}).to_csv(paths.subset_file("12"), index=False)
    write_json(paths.COMPARISON / "metrics.json", {"best": BEST})
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="echosynth.stages.it"))
    monkeypatch.setattr(final, "register_final", lambda: SimpleNamespace(name="it", version="1"))
    return repository


def do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the stage of a run."""
    module, words, _ = STAGES[name]
    monkeypatch.setattr("sys.argv", ["stage", *words])
    module.main()


def whole_row() -> dict[str, Fields]:
    """All that the store holds, by name of the run."""
    place = store.connect()
    return {run.info.run_name: fields_of(place.client, run) for run in rows.search(place)}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_rebuilt_row_equals_the_live_one_field_by_field(
    project: Repository, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    project.commit()
    for name in STAGES:
        do(name, monkeypatch)
    project.write(params)
    finish_parent(flat(SCORES), params, [Path("reports/metrics.json")])
    for *_, output in STAGES.values():
        project.output(output.as_posix(), dict(contents(output)))
    project.result(params)
    live = whole_row()
    assert set(STAGES) | {"mixup 12", "fidelity diffusion 12", "fidelity mixup 12"} < set(live)
    assert set(live["feature network"]["metrics"]) == {"training_loss", "learning_rate", "images"}
    assert [step for step, _ in live["resnet18 synthetic 12 seed 0"]["metrics"]["learning_rate"]] == [1, 2]
    assert [step for step, _ in live["diffusion 12"]["metrics"]["loss"]] == [2, 4]
    assert set(live["final model"]["artifacts"]) == {
        "metrics.json",
        *(f"{kind}_{split}.png" for kind in ("confusion", "precision_recall") for split in ("test", "shift")),
    }
    shutil.copy(migrated, "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path('other.db').resolve()}")
    assert sync(flat) == Synced(results=1, rows=1, children=len(STAGES) + 3)
    assert_equal(live, whole_row())


@pytest.mark.slow
def test_a_stage_that_is_done_again_leaves_the_same_bytes_and_one_that_is_killed_at_its_record_leaves_nothing(
    project: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["diffusion"] |= {"preconditioning": "gaussian", "loss": "edm"}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    written = Path.write_text

    def torn(self: Path, text: str, **more: Any) -> None:
        if self.name.startswith(RECORD):
            written(self, text[: len(text) // 2], **more)
            raise Killed
        written(self, text, **more)

    for name in ("feature network", "diffusion 12", "sample 12", "gaussian 12", "fidelity gaussian 12"):
        output = STAGES[name][-1]
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Path, "write_text", torn)
            do(name, patch)
        assert not output.exists(), name
        do(name, monkeypatch)
        first = contents(output)
        assert [file for file in first if file.endswith(RECORD)], name
        shutil.rmtree(output)
        do(name, monkeypatch)
        assert contents(output) == first, name
