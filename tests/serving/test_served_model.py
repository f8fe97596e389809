"""The served model behind MLflow's scoring server, in this process; `test_serving.py` starts a real one."""

import base64
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest

from echosynth.common.views import VIEWS
from echosynth.serving.options import SERVED
from echosynth.serving.packaging import save_classifier
from echosynth.serving.served_requests import answers
from echosynth.serving.view_classifier import ViewClassifier

NOISE = np.random.default_rng(3).integers(0, 256, (7, 40, 56), dtype=np.uint8)
SECRET = "MEIER^ANNA"


@pytest.fixture(scope="module")
def model(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy classifier in MLflow's format."""
    folder = tmp_path_factory.mktemp("model") / "saved"
    save_classifier(classifier_folder, folder, NOISE[:2])
    return folder


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Any]:
    """A client of the scoring server."""
    import mlflow
    from mlflow.pyfunc.scoring_server import init
    from starlette.testclient import TestClient

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # as `init` does, to be taken back
        yield TestClient(init(mlflow.pyfunc.load_model(str(model))), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def classifier(classifier_folder: Path) -> ViewClassifier:
    return ViewClassifier(classifier_folder)


def coded(picture: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("form", ["array", "image", "file"])
def test_batches_are_answered_as_locally(server: Any, classifier: ViewClassifier, count: int, form: str) -> None:
    frames = NOISE[:count]
    inputs = {
        "array": frames.tolist(),
        "image": [{"image": frame.tolist()} for frame in frames],
        "file": [{"file": coded(frame)} for frame in frames],
    }
    answer = server.post("/invocations", json={"inputs": inputs[form]})
    assert answer.status_code == 200
    records = answer.json()["predictions"]
    expected = classifier.probabilities(list(frames))
    assert [record["view"] for record in records] == [VIEWS[row.argmax()] for row in expected]
    found = np.array([[record[view] for view in VIEWS] for record in records])
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5)
    assert all(set(record) == {"view", *VIEWS, "frames", "chosen", "total"} for record in records)


def test_frames_of_all_sizes_go_into_one_request(server: Any, classifier: ViewClassifier) -> None:
    frames = [NOISE[0], NOISE[1, :17, :23], np.stack([NOISE[2], NOISE[3], NOISE[4]], -1)]
    inputs = [frames[0].tolist(), {"file": coded(frames[1])}, {"image": frames[2].tolist()}]
    answer = server.post("/invocations", json={"inputs": inputs})
    assert answer.json()["predictions"] == [pytest.approx(row, abs=1e-5) for row in answers(classifier, inputs)]


WRONG: dict[str, tuple[Any, str]] = {
    "no list": ("abc", '"inputs" is no list'),
    "column style": ({"image": [[1]]}, '"inputs" is no list'),
    "no image": ([{}], 'inputs[0] needs "image" or "file"'),
    "both": ([{"image": [[1]], "file": "YQ=="}], 'inputs[0] holds both "image" and "file"'),
    "fractions": ([[[0.5]]], "inputs[0] is no picture"),
    "range": ([[[1]], [[256]]], "inputs[1] is no picture"),
    "text file": ([{"file": base64.b64encode(SECRET.encode() * 9).decode()}], "inputs[0] has a file that is none of"),
    "broken base64": ([{"file": f"{SECRET}%"}], "inputs[0] has a file that is no base64"),
    "0 bytes": ([{"file": ""}], "inputs[0] has a file of 0 bytes"),
    "a word too many": ([{"image": [[1]], SECRET: 1}], 'inputs[0] needs "image" or "file" and nothing else'),
    "too many": ([[[0]]] * 257, '"inputs" holds 257 elements; send 1 to 256'),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_gets_400_and_one_sentence(
    server: Any, case: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs, words = WRONG[case]
    with caplog.at_level(logging.DEBUG):
        answer = server.post("/invocations", json={"inputs": inputs})
    content = answer.json()
    assert answer.status_code == 400
    assert content["message"].startswith(words)
    assert "\n" not in content["message"] and SECRET not in answer.text
    assert "stack_trace" not in content
    assert server.post("/invocations", json={"inputs": [NOISE[0].tolist()]}).status_code == 200
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"dataframe_records": [{"file": "YQ=="}]}', "application/json"),
        (b'{"instances": [[[1]]]}', "application/json"),
        (b'{"prompt": "abc"}', "application/json"),
        (b"{}", "application/json"),
        (b"[1", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"", "application/json"),
        (b"image\n1\n", "text/csv"),
        (b"no parquet", "application/vnd.apache.parquet"),
    ],
)
def test_other_formats_of_mlflow_are_refused(server: Any, content: bytes, kind: str) -> None:
    answer = server.post("/invocations", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert server.post("/invocations", json={"inputs": [NOISE[0].tolist()]}).status_code == 200


def test_parameters_are_ignored_and_not_logged(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        answer = server.post("/invocations", json={"inputs": [NOISE[0].tolist()], "params": {SECRET: SECRET}})
    assert answer.status_code == 200
    assert SECRET not in caplog.text


def test_warnings_of_decoders_quote_nobody(classifier_folder: Path) -> None:
    from echosynth.serving.served_model import ServedClassifier

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        pydicom.Dataset().StudyDate = SECRET
        assert SECRET in str(shown.pop().message)
        ServedClassifier().load_context(
            SimpleNamespace(artifacts={"classifier": classifier_folder}, model_config=SERVED.model_dump())
        )
        shown.clear()
        pydicom.Dataset().StudyDate = SECRET
    assert not shown


def test_signature_and_example_tell_what_to_send(model: Path, server: Any) -> None:
    import mlflow

    loaded = mlflow.pyfunc.load_model(str(model))
    outputs = loaded.metadata.get_output_schema().to_dict()
    assert set(outputs[0]["properties"]) == {"view", *VIEWS, "frames", "chosen", "total"}
    inputs = loaded.metadata.get_input_schema().to_dict()
    assert set(inputs[0]["properties"]) == {"image", "file"}
    example = json.loads((model / "serving_input_example.json").read_text())
    assert example == {"inputs": [{"image": frame.tolist()} for frame in NOISE[:2]]}
    assert server.post("/invocations", json=example).status_code == 200


def test_the_configuration_of_the_model_says_the_limits(model: Path) -> None:
    import mlflow

    loaded = mlflow.pyfunc.load_model(str(model), model_config={"pixels": 100})  # as SERVING_MODEL_CONFIG does
    assert len(loaded.predict([{"image": NOISE[0, :10, :10].tolist()}])) == 1
    for large in ({"image": NOISE[0].tolist()}, {"file": coded(NOISE[0])}):
        with pytest.raises(mlflow.exceptions.MlflowException, match=r"56 x 40 pixels, more than decoding\.pixels"):
            loaded.predict([large])


def test_arrays_need_no_lists_in_python(model: Path, classifier: ViewClassifier) -> None:
    import mlflow

    loaded = mlflow.pyfunc.load_model(str(model))
    expected = answers(classifier, NOISE)
    assert loaded.predict(NOISE) == loaded.predict(list(NOISE)) == expected
    with pytest.raises(mlflow.exceptions.MlflowException, match=r'^"inputs" is no list'):
        loaded.predict(7)
