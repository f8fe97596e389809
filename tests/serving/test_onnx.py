"""ONNX files that say what PyTorch says."""

import importlib.util
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from echosynth.classifier import timm_networks
from echosynth.classifier.network import ClassifierCard, build, load, predict, save
from echosynth.common.errors import EchosynthError
from echosynth.common.files import file_hash
from echosynth.common.views import VIEWS
from echosynth.serving import onnx

needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in onnx.PACKAGES), reason="needs requirements-extra.txt"
)


@pytest.fixture(scope="module")
def exported(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "deep" / "onnx"
    onnx.export(classifier_folder, out)
    return out


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_any_batch_gives_what_pytorch_gives(exported: Path, classifier_folder: Path, count: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 32, 32), dtype=np.uint8)
    network, _ = load(classifier_folder, torch.device("cpu"))
    expected = predict(network, images)
    found = onnx.probabilities(onnx.session(exported / "model.onnx", 1), images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=onnx.TOLERANCE)
    np.testing.assert_allclose(found.sum(1), 1, rtol=0, atol=1e-5)
    assert count == 1 or np.ptp(expected, axis=0).max() > 0.01


@needs_onnx
@pytest.mark.slow
def test_card_and_file_tell_all_and_no_path_of_this_machine(exported: Path, classifier_folder: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == ["card.json", "model.onnx"]
    card = json.loads((exported / "card.json").read_text())
    assert card["classifier"] == json.loads((classifier_folder / "card.json").read_text())
    assert card["input"] == {"name": "images", "type": "float32", "shape": ["N", 1, 32, 32], "range": [-1, 1]}
    assert card["output"]["views"] == list(VIEWS)
    assert card["onnx_md5"] == file_hash(exported / "model.onnx")
    assert card["weights_md5"] == file_hash(classifier_folder / "model.safetensors")
    assert card["parity"]["largest_difference"] < card["parity"]["allowed"] == 1e-4
    content = (exported / "model.onnx").read_bytes()
    assert str(Path(onnx.__file__).parents[2]).encode() not in content
    assert b"site-packages" not in content
    shape = onnx.session(exported / "model.onnx").get_inputs()[0].shape
    assert isinstance(shape[0], str) and shape[1:] == [1, 32, 32]


@needs_onnx
@pytest.mark.slow
def test_an_export_is_replaced_and_has_the_same_bytes(exported: Path, classifier_folder: Path, tmp_path: Path) -> None:
    out = shutil.copytree(exported, tmp_path / "onnx")
    (out / "model.onnx").write_bytes(b"old")
    onnx.export(classifier_folder, out)
    for name in ("model.onnx", "card.json"):
        assert (out / name).read_bytes() == (exported / name).read_bytes()


@needs_onnx
@pytest.mark.slow
def test_a_file_that_says_something_else_is_not_handed_out(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnx.probabilities
    monkeypatch.setattr(onnx, "probabilities", lambda session, images: real(session, images) + np.float32(2e-4))
    with pytest.raises(EchosynthError, match=r"something else than PyTorch \(by 0\.0002.*, 0\.0001 is allowed"):
        onnx.export(classifier_folder, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "PACKAGES", ("onnx_that_is_not_there", "json", "onnx_neither"))
    words = "needs onnx_that_is_not_there and onnx_neither; run .*pip install -r requirements-extra.txt"
    with pytest.raises(EchosynthError, match=words):
        onnx.export(classifier_folder, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_left_alone(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "PACKAGES", ())
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(EchosynthError, match=r"holds thesis\.txt, which this command did not write"):
        onnx.export(classifier_folder, tmp_path)
    with pytest.raises(EchosynthError, match="is a file; name a new folder"):
        onnx.export(classifier_folder, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("card", ['{"kind": "detector"}', "[]", "{", None])
def test_a_model_that_somebody_else_wrote_is_left_alone(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str | None
) -> None:
    monkeypatch.setattr(onnx, "PACKAGES", ())
    (tmp_path / "model.onnx").write_text("months of training")
    if card is not None:
        (tmp_path / "card.json").write_text(card)
    with pytest.raises(EchosynthError, match=r"(model\.onnx|card\.json), which this command did not write; name a new"):
        onnx.export(classifier_folder, tmp_path)
    assert (tmp_path / "model.onnx").read_text() == "months of training"


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "size", "smaller"),
    [
        ("densenet121", 32, {"block_config": (1, 2, 1, 1)}),
        ("vgg16", 32, {"mlp_ratio": 1 / 16}),
        ("inception_v3", 32, {}),
    ],
)
def test_every_architecture_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, size: int, smaller: dict[str, object]
) -> None:
    """DenseNet with fewer layers of the same kinds and VGG with a narrower last one: their own take long to write."""
    maker = timm_networks._maker
    monkeypatch.setattr(timm_networks, "_maker", lambda name: partial(maker(name), **smaller))
    card = ClassifierCard(
        size=size,
        resampling="cubic",
        architecture=architecture,
        arm="real",
        subset="all",
        seed=0,
        steps=0,
        training_images={},
        synthetic_images=0,
        training_hash="0",
    )
    (tmp_path / "model").mkdir()
    torch.manual_seed(0)
    save(tmp_path / "model", build(architecture, size), card)
    assert onnx.export(tmp_path / "model", tmp_path / "onnx").size == size
