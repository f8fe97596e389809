"""A real `mlflow models serve` of the champion, as a process of its own with nothing of this project round it."""

import base64
import http.client
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from bench.serving import ask, body, served
from pydicom.data import get_testdata_file

from bench import serving
from echosynth.common.views import VIEWS
from echosynth.serving.clips import predict_clip
from echosynth.serving.manifest import PACKAGE_SHA
from echosynth.serving.options import FRAMES
from echosynth.serving.packaging import log_classifier
from echosynth.serving.view_classifier import ViewClassifier
from echosynth.tracking import store

NAME = "echo-view-classifier"
NOISE = np.random.default_rng(5).integers(0, 256, (7, 40, 56), dtype=np.uint8)
SECRET = "MEIER^ANNA"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(
    classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory, migrated: Path
) -> Iterator[tuple[str, Path]]:
    """Address and log of a server of models:/echo-view-classifier@champion from a store of its own."""
    import mlflow

    folder = tmp_path_factory.mktemp("serving")
    shutil.copy(migrated, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run = store.client().create_run(store.connect().experiment).info.run_id
        logged = log_classifier(run, classifier_folder, NOISE[:2])
        version = mlflow.register_model(logged.uri, NAME, tags={PACKAGE_SHA: logged.package_sha}).version
        store.client().set_registered_model_alias(NAME, "champion", version)
        environment = {"MLFLOW_TRACKING_URI": store.tracking_uri()}
    elsewhere = tmp_path_factory.mktemp("elsewhere")  # no git, no params.yaml, no DVC
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "READY_SECONDS", 1800.0)  # a slow machine is no failure
        with served(f"models:/{NAME}@champion", elsewhere, environment) as address:
            yield address, elsewhere / "server.log"


def coded(picture: np.ndarray) -> dict[str, str]:
    """A picture as an input with a PNG file."""
    return {"file": base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()}


def refused(address: str, body: bytes) -> dict[str, str]:
    """The server's 400."""
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request)
    assert answer.value.code == 400
    content: dict[str, str] = json.loads(answer.value.read())
    return content


def test_it_answers_as_locally(server: tuple[str, Path], classifier_folder: Path) -> None:
    classifier = ViewClassifier(classifier_folder)
    for count in (1, 2, 7):
        expected = classifier.probabilities(list(NOISE[:count]))
        pictures, files = (
            [{"image": frame.tolist()} for frame in NOISE[:count]],
            [coded(frame) for frame in NOISE[:count]],
        )
        mixed = [(pictures if place % 2 else files)[place] for place in range(count)]
        for inputs in (NOISE[:count].tolist(), pictures, files, mixed):
            records = ask(server[0], body(*inputs))
            assert [record["view"] for record in records] == [VIEWS[row.argmax()] for row in expected]
            found = [[record[view] for view in VIEWS] for record in records]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_real_cine_gets_what_predict_says(server: tuple[str, Path], classifier_folder: Path) -> None:
    path = Path(str(get_testdata_file("examples_ybr_color.dcm", download=False)))
    expected = predict_clip(ViewClassifier(classifier_folder), path, FRAMES)
    (record,) = ask(server[0], body({"file": base64.b64encode(path.read_bytes()).decode()}))
    assert record["view"] == expected["view"]
    for view in VIEWS:
        assert record[view] == pytest.approx(expected["probabilities"][view], abs=1e-5)


def test_it_refuses_says_why_keeps_silent_and_lives_on(server: tuple[str, Path]) -> None:
    address, log = server
    text = base64.b64encode(SECRET.encode()).decode()
    for inputs, words in (
        ({"file": text}, "inputs[0] has a file that is none of PNG, JPEG, DICOM, AVI, MP4"),
        ({"file": SECRET}, "inputs[0] has a file that is no base64"),
        ({"file": ""}, "inputs[0] has a file of 0 bytes"),
        ({"image": [[0.5]]}, "inputs[0] is no picture"),
        ({SECRET: text}, 'inputs[0] needs "image" or "file"'),
    ):
        content = refused(address, body(inputs))
        assert content["message"].startswith(words)
        assert "stack_trace" not in content
    refused(address, f'{{"inputs": "{SECRET}'.encode())
    good = coded(NOISE[0])
    assert refused(address, body(good, NOISE[1].tolist(), {"file": ""}, good))["message"] == (
        "inputs[2] has a file of 0 bytes; send one with content"
    )
    large = [0] * 4097
    assert "4097 x 2048 pixels, more than decoding.pixels" in refused(address, body([large] * 2048))["message"]
    assert len(ask(address, body(NOISE[0].tolist()))) == 1
    said = log.read_text()
    assert "POST /invocations" in said
    assert SECRET not in said and text not in said and "Traceback" not in said


def test_without_a_content_type_mlflow_fails_and_lives_on(server: tuple[str, Path]) -> None:
    url = urllib.parse.urlsplit(server[0])
    connection = http.client.HTTPConnection(str(url.hostname), url.port)
    connection.request("POST", "/invocations", body(NOISE[0].tolist()))
    assert connection.getresponse().status == 500  # as docs/registry.md says; the model is not asked
    assert len(ask(server[0], body(NOISE[0].tolist()))) == 1
