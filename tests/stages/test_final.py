"""What stage `final` writes and logs, on sets of a few pictures and with an untrained network."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json, write_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.evaluation.predictions import read_probabilities
from echosynth.imagesets.store import write_image_set
from echosynth.stages import final


class Recorded:
    """A run that keeps what it is told."""

    def __init__(self) -> None:
        self.datasets: list[tuple[str, Path, str]] = []
        self.pictures: list[str] = []

    def dataset(self, name: str, data: Path, context: str) -> None:
        self.datasets.append((name, data, context))

    def metrics(self, values: dict[str, float]) -> None:
        self.values = values

    def save(self, folder: Path, *files: str, pictures: dict[str, bytes]) -> None:
        self.content = read_json(folder / "metrics.json")
        assert files == ("metrics.json",)
        assert all(coded.startswith(b"\x89PNG") for coded in pictures.values())
        self.pictures += pictures


def write_set(folder: Path, source: str) -> list[str]:
    """Eight pictures of eight patients; their ids."""
    ids = [f"{source}-{number:012x}" for number in range(8)]
    facts: dict[str, Any] = {"id": ids, "source": source, "view": [*VIEWS, *VIEWS], "group": [f"p{n}" for n in ids]}
    facts |= {"group_kind": "patient", "official_split": "", "moment": "", "frame": 0, "frames": 1}
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32), dtype=np.uint8)
    write_image_set(folder, images, pd.DataFrame(facts | {"width": 640, "height": 480, "synthetic": False}))
    return ids


@pytest.fixture
def done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params], classifier_folder: Path
) -> Callable[..., Recorded]:
    """Run the stage after a cell whose stored results are these."""
    monkeypatch.chdir(tmp_path)
    data = {"train_sources": ["tmed2"], "shift_sources": ["camus"]}
    params = params_with(data=data, classifier={"bootstrap": 20}).model_dump(mode="json")
    Path("params.yaml").write_text(yaml.safe_dump(params))
    ids = write_set(paths.SOURCES / "tmed2", "tmed2")
    write_set(paths.SHIFT / "camus", "camus")
    paths.SPLIT.mkdir()
    pd.DataFrame({"id": ids, "source": "tmed2", "split": "test"}).to_csv(paths.ASSIGNMENT, index=False)
    best = {"arm": "mixed", "subset": "150", "architecture": "resnet18", "seed": 0}
    write_json(paths.COMPARISON / "metrics.json", {"best": best})
    cell = paths.cell_folder("synthetic", "150", "resnet18") / paths.seed_folder("mixed", 0)
    shutil.copytree(classifier_folder, cell)
    recorded = Recorded()

    @contextmanager
    def child_run(name: str, stage: str, facts: object, tags: dict[str, str]) -> Iterator[Recorded]:
        recorded.tags = tags
        yield recorded

    monkeypatch.setattr(final, "child_run", child_run)
    monkeypatch.setattr(final, "register_final", lambda: SimpleNamespace(name="it", version="1"))
    monkeypatch.setattr("sys.argv", ["final"])

    def run(**stored: str) -> Recorded:
        write_json(cell / "metrics.json", {"validation": {}} | stored)
        final.main()
        return recorded

    return run


def test_the_synthetic_set_of_the_training_is_passed_on(done: Callable[..., Recorded]) -> None:
    done()
    assert "synthetic" not in read_json(paths.FINAL_SCORES / "metrics.json")["data"]
    done(synthetic_hash="abc")
    result = read_json(paths.FINAL_SCORES / "metrics.json")
    assert result["data"]["synthetic"] == "abc"
    assert set(result["data"]) == {"training", "split", "test", "shift", "synthetic"}


def test_each_set_is_an_input_of_the_run_and_has_its_curves(done: Callable[..., Recorded]) -> None:
    recorded = done()
    assert recorded.datasets == [
        ("test", paths.ASSIGNMENT, "test"),
        ("shift-camus", paths.SHIFT / "camus", "test"),
    ]
    kinds = ("confusion", "precision_recall")
    assert sorted(recorded.pictures) == [f"{kind}_{split}.png" for kind in kinds for split in ("shift", "test")]
    assert {"test.calibration_error", "shift.calibration_error"} <= set(recorded.values)


def test_without_a_domain_shift_there_is_the_test_set_alone(done: Callable[..., Recorded]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(params | {"data": params["data"] | {"shift_sources": []}}))
    recorded = done()
    assert [name for name, _, _ in recorded.datasets] == ["test"]
    assert sorted(recorded.pictures) == ["confusion_test.png", "precision_recall_test.png"]
    splits = {name.partition(".")[0] for name in dict(recorded.values)}
    assert "test" in splits and "shift" not in splits


def test_a_set_of_one_view_has_no_macro_scores_and_the_run_says_why(
    done: Callable[..., Recorded], capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (paths.SOURCES / "tmed2", paths.SHIFT / "camus"):
        manifest = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
        manifest.assign(view="A4C").to_csv(folder / "manifest.csv", index=False)
    recorded, reason = done(), "images of A4C alone"
    scores = read_json(paths.FINAL_SCORES / "metrics.json")
    for split in ("test", "shift"):
        assert scores[split]["macro_auprc"] is scores[split]["macro_f1"] is None
        assert scores[split]["absent"] == {"macro_auprc": reason, "macro_f1": reason}
        assert scores[split]["interval"]["macro_auprc"] == [None, None]
    assert {name.partition(".")[2] for name in dict(recorded.values)} == {
        "loss", "accuracy", "recall_A4C", "calibration_error"
    }  # fmt: skip
    names = {f"absent.{split}.{name}" for split in ("test", "shift") for name in ("macro_auprc", "macro_f1")}
    assert recorded.tags == dict.fromkeys(names, reason)
    assert "no test AUPRC: images of A4C alone" in capsys.readouterr().err


def test_predictions_are_stored_for_whoever_wants_to_score_them_otherwise(done: Callable[..., Recorded]) -> None:
    recorded = done()
    scores = read_json(paths.FINAL_SCORES / "metrics.json")
    for split, source in (("test", "tmed2"), ("shift", "camus")):
        ids = np.array([f"{source}-{number:012x}" for number in range(8)])
        probabilities = read_probabilities(paths.FINAL_SCORES / f"{split}.csv", ids)
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        hits = probabilities.argmax(axis=1) == np.tile(np.arange(4), 2)
        assert scores[split]["accuracy"] == pytest.approx(hits.mean()) == recorded.content[split]["accuracy"]
    with pytest.raises(EchosynthError, match=r"reports/final/test\.csv is about other images"):
        read_probabilities(paths.FINAL_SCORES / "test.csv", ids)
