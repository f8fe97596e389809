"""Versions that an earlier version of this package registered, with its own code inside and in its own words."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.registry.pretended import add

from echosynth import cli
from echosynth.common.files import file_hash, read_json
from echosynth.config.parameters import Params
from echosynth.registry.decisions import history
from echosynth.registry.promotion import promote, rollback
from echosynth.registry.register import register
from echosynth.registry.versions import CHAMPION, NAME, SHA, aliases
from echosynth.serving.packaging import ARTIFACT
from echosynth.serving.view_classifier import ViewClassifier
from echosynth.tracking import store

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 40, 50), dtype=np.uint8)


@pytest.fixture
def earlier(workspace: Path, classifier_folder: Path) -> Path:
    """Champion 1, whose card, tags and code are of an earlier version; returns what it was registered from."""
    model = workspace / "model"
    final = workspace / "final"
    shutil.copytree(classifier_folder, final)
    card = read_json(final / "card.json") | {"arm": "upsampled"}
    (final / "card.json").write_text(json.dumps(card))
    shutil.copytree(final, model / "artifacts" / ARTIFACT)
    # Modules that are not there any more: whoever runs this code in the process of today's package fails.
    (model / "served_model.py").write_text("from echosynth.classify.predict import ViewClassifier\n")
    (model / "code" / "echosynth" / "classify").mkdir(parents=True)
    (model / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n")
    client = store.client()
    client.create_registered_model(NAME)
    tags = {SHA: file_hash(final / "model.safetensors")}  # without the hash of the card
    client.create_model_version(NAME, model.as_uri(), tags=tags)
    client.set_registered_model_alias(NAME, CHAMPION, "1")
    return final


def test_it_predicts_and_its_arm_has_the_present_name(
    earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = tmp_path / "still.png"
    assert cv2.imwrite(str(still), FRAMES[0])
    assert cli.main(["predict", str(still), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["model"]["arm"], found["model"]["name"]) == ("oversampled", "champion")
    (expected,) = ViewClassifier(earlier).probabilities(FRAMES[:1])
    assert list(found["files"][0]["probabilities"].values()) == pytest.approx(list(expected))
    assert err.splitlines() == ["Research software, no medical device."]  # nothing is said of the old card


def test_it_is_listed_and_registered_again_without_its_code(earlier: Path) -> None:
    store.client().set_model_version_tag(NAME, "1", "card_sha", file_hash(earlier / "card.json"))
    expected = ViewClassifier(earlier).probabilities(FRAMES)
    again = register(earlier, {"test.macro_f1": 0.9}, FRAMES, expected)
    assert (again.version, again.created) == ("1", False)
    (listed,) = history()["versions"]
    assert listed["aliases"] == ["champion"] and listed["scores"] == {"test.macro_f1": 0.9}


def test_it_is_judged_promoted_and_gone_back_to(project: Path, params: Params) -> None:
    add(0.9, card={"arm": "upsampled"})
    add(0.95, card={"arm": "upsampled"})
    assert promote(params, "1", "a test").accepted
    assert promote(params, "2", "a test").accepted
    assert rollback("a test").accepted
    assert aliases() == {"champion": "1", "previous": "2"}
