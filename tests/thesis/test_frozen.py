"""Pretrained networks of the study, with real ImageNet weights on tiny sets."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from echosynth.common.files import workspace
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import cells, frozen
from echosynth.thesis.cells import Cell, read_cells

LITE0, ABSENT = "tf_efficientnet_lite0", "models/pretrained/resnet18-f37072fd.pth"
CALLS: list[int] = []


def pictures(count: int, name: str) -> LabelledImages:
    """Bright bars, whose place is their view's."""
    labels = np.arange(count) % 4
    images = np.random.default_rng(count).integers(0, 60, (count, 16, 16), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 150
    ids = np.array([f"{name}-{number}" for number in range(count)])
    return LabelledImages(images, labels, ids, np.full(count, name), ids)


SETS = {"real": pictures(12, "tmed2"), "validation": pictures(16, "tmed2"), "made": pictures(20, "synthetic-12")}


@pytest.fixture
def quick(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A project of tiny sets, with weights for one of two architectures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHOSYNTH_PROCESSES", "1")
    for module in (cells, frozen):
        monkeypatch.setattr(module, "subset", lambda *_: SETS["real"])
        monkeypatch.setattr(module, "validation", lambda *_: SETS["validation"])
    monkeypatch.setattr(frozen, "synthetic", lambda *_: SETS["made"])
    run = SimpleNamespace(dataset=lambda *_: None, metrics=lambda *_, **__: None, save=lambda *_, **__: None)
    monkeypatch.setattr(cells, "child_run", lambda *_: nullcontext(run))
    monkeypatch.setattr(cells, "data_hash", str)
    computed = frozen.frozen_features
    monkeypatch.setattr(frozen, "frozen_features", lambda *given: CALLS.append(1) or computed(*given))
    CALLS.clear()
    return changed(params, pretrained={**params.study.pretrained, "resnet18": ABSENT}, pretrained_size=32)


def changed(params: Params, **study: Any) -> Params:
    classifier = params.classifier.model_copy(update={"steps": 8, "batch_size": 8})
    return params.model_copy(update={"classifier": classifier, "study": params.study.model_copy(update=study)})


def test_features_are_computed_once_and_absent_weights_are_left_out_with_the_reason(
    quick: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen.run(quick, "12")
    assert len(CALLS) == 3  # of four trainings
    found = read_cells("frozen", "12", SETS["validation"])
    assert [(run.facts["arm"], run.facts["architecture"], run.facts["seed"]) for run in found] == [
        (arm, f"{LITE0} frozen", seed) for arm in ("real", "synthetic") for seed in quick.classifier.seeds
    ]
    facts = found[-1].facts
    assert (facts["images"], facts["synthetic"], facts["real_images"], facts["steps"]) == (20, 20, 12, 8)
    assert facts["weights_sha256"].startswith("57934424") and facts["pretrained_size"] == 32
    assert found[0].probabilities.shape == (16, 4)
    assert not np.array_equal(found[0].probabilities, found[2].probabilities)
    reason = json.loads((tmp_path / "reports/study/frozen/12/left_out.json").read_text())
    assert list(reason) == ["resnet18"]
    assert reason["resnet18"].startswith(f"study.pretrained: {ABSENT} is missing; put the file there and run the stage")
    assert f"resnet18 is left out: study.pretrained: {ABSENT} is missing" in capsys.readouterr().err
    assert not list((workspace() / ".resume").glob("*/*"))


def test_without_any_weights_the_reason_is_all_there_is(quick: Params, tmp_path: Path) -> None:
    frozen.run(changed(quick, pretrained={"resnet18": ABSENT}), "12")
    assert [path.name for path in (tmp_path / "reports/study/frozen/12").iterdir()] == ["left_out.json"]
    assert not CALLS


def test_fine_tuning_trains_all_layers_and_stands_beside_the_frozen_ones(
    quick: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    train: Callable[..., Any] = frozen.train_network

    def watched(*args: Any, network: Any, **others: Any) -> Any:
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        trained = train(*args, network=network, **others)
        given.append((before, trained.network.state_dict()))
        return trained

    monkeypatch.setattr(frozen, "train_network", watched)
    outcome = frozen.train(changed(quick, pretrained_ways=["fine-tuned"]), Cell("real", "12", f"{LITE0} fine-tuned", 0))
    before, after = given[0]
    assert all((before[name] != after[name]).any() for name in ("conv_stem.stem.weight", "conv_head.weight"))
    assert outcome.facts["way"] == "fine-tuned" and outcome.steps == 8 and outcome.synthetic == 0
    assert np.allclose(outcome.probabilities.sum(1), 1, atol=1e-5)
