"""What the served model is asked and what it answers, without a server."""

import base64
import io
import json
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.media.options import DecodingParams
from echosynth.serving import requests
from echosynth.serving.clips import predict_clip
from echosynth.serving.options import FRAMES, SERVED
from echosynth.serving.served_requests import answers, answers_to_json
from echosynth.serving.view_classifier import ViewClassifier

RANDOM = np.random.default_rng(7)
GREY = RANDOM.integers(0, 256, (40, 56), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (33, 21, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier(classifier_folder: Path) -> ViewClassifier:
    return ViewClassifier(classifier_folder)


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def rows(found: list[dict[str, Any]]) -> np.ndarray:
    for record in found:
        assert list(record) == ["view", *VIEWS, "frames", "chosen", "total"]
        assert record["view"] == max(VIEWS, key=lambda view: record[view])
    return np.array([[record[view] for view in VIEWS] for record in found])


def test_pictures_of_all_sizes_and_files_mix_in_one_request(classifier: ViewClassifier) -> None:
    inputs = [{"file": coded(png(GREY))}, {"image": COLOUR.tolist()}, GREY.tolist(), {"image": GREY, "file": None}]
    found = rows(answers(classifier, inputs))
    expected = classifier.probabilities([GREY, COLOUR, GREY, GREY])
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5)  # a file is a batch of its own
    assert np.abs(expected[0] - expected[1]).max() > 1e-2  # else their order would not matter


def test_an_array_of_frames_is_a_request_too(classifier: ViewClassifier) -> None:
    frames = RANDOM.integers(0, 256, (7, 30, 30), dtype=np.uint8)
    expected = classifier.probabilities(list(frames))
    for inputs in (frames, frames.tolist(), list(frames)):
        np.testing.assert_allclose(rows(answers(classifier, inputs)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["still.png", "still.jpg", "cine.avi", "cine.mp4", "examples_ybr_color.dcm"])
def test_a_file_gets_what_predict_says(classifier: ViewClassifier, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix in (".avi", ".mp4"):
        code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
        video = cv2.VideoWriter(str(path), code, 25.0, (48, 48))
        for level in range(40):
            video.write(np.full((48, 48, 3), 5 * level, np.uint8))
        video.release()
    elif path.suffix == ".dcm":
        path = Path(str(get_testdata_file(name, download=False)))
    else:
        cv2.imwrite(str(path), COLOUR)
    (record,) = answers(classifier, [{"file": coded(path.read_bytes())}])
    expected = predict_clip(classifier, path, FRAMES)
    counts = {name: expected[name] for name in ("frames", "chosen", "total")}
    assert record == {"view": expected["view"], **expected["probabilities"], **counts}


def test_line_breaks_in_base64_do_no_harm(classifier: ViewClassifier) -> None:
    text = base64.encodebytes(png(GREY)).decode()
    assert "\n" in text
    assert answers(classifier, [{"file": text}]) == answers(classifier, [{"file": coded(png(GREY))}])


NUMBERS = "is no picture: give rows of equal length of whole numbers from 0 to 255"
WRONG: dict[str, tuple[Any, str]] = {
    "text": ("abc", '"inputs" is no list'),
    "mapping": ({"image": [[1]]}, '"inputs" is no list'),
    "nothing": (None, '"inputs" is no list'),
    "empty list": ([], "holds 0 elements; send 1 to"),
    "number": ([1], r"inputs\[0\] is neither a picture nor a file"),
    "null": ([None], r"inputs\[0\] is neither a picture nor a file"),
    "bare text": (["abc"], r"inputs\[0\] is neither a picture nor a file"),
    "no image": ([{}], r'inputs\[0\] needs "image" or "file"'),
    "two nulls": ([{"image": None, "file": None}], 'needs "image" or "file"'),
    "another word": ([{"picture": [[1]]}], 'needs "image" or "file" and nothing else'),
    "a word too many": ([{"image": [[1]], "name": "x"}], 'needs "image" or "file" and nothing else'),
    "both": ([{"image": [[1]], "file": "YQ=="}], 'holds both "image" and "file"'),
    "second of two": ([[[1]], [[300]]], rf"inputs\[1\] {NUMBERS}.*from 300 to 300"),
    "empty picture": ([[]], NUMBERS),
    "empty rows": ([[[], []]], NUMBERS),
    "one dimension": ([[1, 2]], NUMBERS),
    "four dimensions": ([[[[[1, 1, 1]]]]], NUMBERS),
    "two channels": ([[[[1, 1]]]], NUMBERS),
    "ragged": ([[[1, 2], [3]]], NUMBERS),
    "ragged depth": ([[[[1, 1, 1]], [1]]], NUMBERS),
    "fractions": ([[[0.5, 1.0]]], NUMBERS),
    "truth values": ([[[True, False]]], NUMBERS),
    "numbers as text": ([[["1", "2"]]], NUMBERS),
    "holes": ([[[1, None]]], NUMBERS),
    "negative": ([[[-1, 4]]], f"{NUMBERS}.*from -1 to 4"),
    "absurd": ([[[10**30, 4]]], NUMBERS),
    "float array": ([np.zeros((4, 4))], NUMBERS),
    "file of numbers": ([{"file": [1, 2]}], "file that is no text"),
    "no base64": ([{"file": "%%%"}], "file that is no base64"),
    "cut base64": ([{"file": "YWJjZ"}], "file that is no base64"),
    "letters": ([{"file": "äöü"}], "file that is no base64"),
    "no bytes": ([{"file": ""}], "file of 0 bytes"),
    "white space": ([{"file": " \n"}], "file of 0 bytes"),
    "text file": ([{"file": coded(b"Dear colleague, " * 20)}], "file that is none of PNG, JPEG, DICOM, AVI, MP4"),
    "torn": ([{"file": coded(png(GREY)[:-20])}], r"inputs\[0\] has a file that is torn"),
    "head of DICOM": ([{"file": coded(bytes(128) + b"DICM")}], "file that cannot be decoded as DICOM"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_request_is_refused_in_one_sentence(classifier: ViewClassifier, case: str) -> None:
    inputs, words = WRONG[case]
    with pytest.raises(EchosynthError, match=words) as refused:
        answers(classifier, inputs)
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 400
    assert "/tmp" not in text


def limited(**changes: Any) -> DecodingParams:
    return SERVED.model_copy(update=changes)


def as_json(inputs: object) -> bytes:
    return json.dumps({"inputs": inputs}, default=np.ndarray.tolist).encode()


@pytest.mark.parametrize("case", WRONG)
def test_a_request_as_it_was_sent_is_refused_in_the_same_words(classifier: ViewClassifier, case: str) -> None:
    inputs, words = WRONG[case]
    with pytest.raises(EchosynthError, match=words):
        answers_to_json(classifier, as_json(inputs))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"{}", b'{"inputs": [[[1]]], "x": 1}', b"\xff\xfe", b"[" * 100_000, b'{"x": []}']
)
def test_what_is_no_request_at_all(classifier: ViewClassifier, body: bytes) -> None:
    with pytest.raises(EchosynthError, match=r'^the request is not \{"inputs": \[...\]\} in JSON'):
        answers_to_json(classifier, body)


def test_a_request_as_it_was_sent_gets_the_same_answers(
    classifier: ViewClassifier, write_avi: Callable[..., Path], tmp_path: Path
) -> None:
    cine = coded(
        write_avi(tmp_path / "cine.avi", frames=list(RANDOM.integers(0, 256, (40, 48, 48, 3), np.uint8))).read_bytes()
    )
    inputs = [{"file": coded(png(GREY))}, {"image": COLOUR.tolist()}, GREY.tolist(), {"file": cine, "image": None}]
    found = answers_to_json(classifier, as_json(inputs))
    assert found == answers(classifier, inputs)
    assert [(row["frames"], row["chosen"], row["total"]) for row in found] == [*[(1, 1, 1)] * 3, (20, 20, 40)]


def test_limits(classifier: ViewClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_INPUTS", 2)
    monkeypatch.setattr(requests, "MAX_FRAMES", 1)
    small, few = GREY[:30, :30], limited(pixels=2000)
    assert len(answers(classifier, [{"file": coded(png(small))}], few)) == 1
    for large in (GREY, GREY.tolist(), {"file": coded(png(GREY))}):
        words = r"^inputs\[0\] .*claims pictures of 56 x 40 pixels, more than decoding.pixels = 2000 allows"
        with pytest.raises(EchosynthError, match=words):
            answers(classifier, [large], few)
        with pytest.raises(EchosynthError, match=words):
            answers_to_json(classifier, as_json([large]), few)
    assert len(answers(classifier, [GREY])) == 1  # the limit was of that request
    with pytest.raises(EchosynthError, match=r"inputs\[1\] brings the request to 2 frames; 1 are allowed"):
        answers(classifier, [small, small])
    with pytest.raises(EchosynthError, match="holds 3 elements; send 1 to 2"):
        answers(classifier, [small] * 3)


def test_what_takes_much_memory_is_refused_and_the_next_is_answered(classifier: ViewClassifier) -> None:
    large = {"file": coded(png(np.zeros((5000, 5000, 3), np.uint8)))}  # 75 MB when decoded
    little = limited(memory=64, pixels=2**27)
    with pytest.raises(
        EchosynthError, match=r"^inputs\[0\] has a file that takes more memory than decoding.memory = 64"
    ):
        answers(classifier, [large], little)
    with pytest.raises(EchosynthError, match=r"^something in the request takes more memory than decoding.memory = 64"):
        answers_to_json(classifier, as_json([large]), little)
    many = b'{"inputs": [' + b"[]," * 3_000_000 + b"[]]}"  # 9 MB become 200
    with pytest.raises(EchosynthError, match=r"^something in the request takes more memory"):
        answers_to_json(classifier, many, little)
    enough = limited(pixels=2**27)
    assert answers(classifier, [large], enough) == answers_to_json(classifier, as_json([large]), enough)


def test_a_small_file_that_claims_to_be_large_is_refused(classifier: ViewClassifier) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(999))), chunk(b"IEND", b"")]
    bomb = b"".join([b"\x89PNG\r\n\x1a\n", *chunks])
    with pytest.raises(EchosynthError, match="file that claims pictures of 60000 x 60000 pixels"):
        answers(classifier, [{"file": coded(bomb)}])


@pytest.mark.parametrize(
    ("marker", "offset", "bytes_", "words"),
    [
        (b"\xff\xc0", 5, bytes([40, 0, 40, 0]), "frame 1 of 12 has 10240 x 10240 pixels and not"),
        (b"\xff\xd8", 0, bytes(2), "frame 1 of 12 cannot be decoded"),
    ],
)
def test_a_later_frame_that_is_larger_or_damaged(
    classifier: ViewClassifier,
    write_avi: Callable[..., Path],
    tmp_path: Path,
    marker: bytes,
    offset: int,
    bytes_: bytes,
    words: str,
) -> None:
    content = bytearray(write_avi(tmp_path / "v.avi", 12).read_bytes())
    second = content.find(marker, content.find(marker) + 1)
    content[second + offset : second + offset + len(bytes_)] = bytes_
    request = [{"file": coded(bytes(content))}]
    with pytest.raises(EchosynthError, match=rf"inputs\[0\] has a file of which {words}"):
        answers(classifier, request, limited(usable=1.0))
    (row,) = answers(classifier, request)
    assert (row["frames"], row["chosen"], row["total"]) == (11, 12, 12)


def test_a_small_cine_that_claims_to_be_large_is_refused_before_it_is_decoded(classifier: ViewClassifier) -> None:
    header = pydicom.dcmread(str(get_testdata_file("examples_ybr_color.dcm", download=False)))
    header.Rows = header.Columns = 10_000
    file = io.BytesIO()
    header.save_as(file)
    with pytest.raises(EchosynthError, match=r"^inputs\[0\] has a file that claims pictures of 10000 x 10000 pixels"):
        answers(classifier, [{"file": coded(file.getvalue())}])


@pytest.mark.parametrize("element", ["Rows", "BitsAllocated", "NumberOfFrames"])
def test_nothing_of_a_file_is_quoted(classifier: ViewClassifier, element: str) -> None:
    secret = "MEIER^ANNA"
    header = pydicom.dcmread(str(get_testdata_file("examples_ybr_color.dcm", download=False)))
    with warnings.catch_warnings(action="ignore"):
        header.add(pydicom.DataElement(element, "LO", secret))
        file = io.BytesIO()
        header.save_as(file)
    with pytest.raises(EchosynthError, match=r"^inputs\[0\] has a file (that|of which)") as refused:
        answers(classifier, [{"file": coded(file.getvalue())}])
    assert secret not in str(refused.value)


def test_one_bad_input_refuses_the_request(classifier: ViewClassifier) -> None:
    good = [{"file": coded(png(GREY))}, GREY.tolist()]
    assert len(answers(classifier, [*good, *good])) == 4
    with pytest.raises(EchosynthError, match=r"^inputs\[2\] has a file of 0 bytes; send one with content$"):
        answers(classifier, [*good, {"file": ""}, *good, {"file": "?"}])
