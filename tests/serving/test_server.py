"""`echosynth serve`: its application in this process, and a real server."""

import asyncio
import base64
import contextlib
import copy
import gc
import http.client
import json
import logging
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient

from echosynth.common.errors import EchosynthError
from echosynth.serving import served_requests, server
from echosynth.serving.served_requests import answers, answers_to_json
from echosynth.serving.server import application, listening
from echosynth.serving.view_classifier import ViewClassifier

NOISE = np.random.default_rng(5).integers(0, 256, (3, 40, 56), dtype=np.uint8)
SECRET = "MEIER^ANNA"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def classifier(classifier_folder: Path) -> ViewClassifier:
    return ViewClassifier(classifier_folder)


@pytest.fixture(scope="module")
def client(classifier: ViewClassifier) -> Iterator[TestClient]:
    with TestClient(application(classifier), raise_server_exceptions=False) as found:
        yield found


def coded(picture: np.ndarray) -> dict[str, str]:
    return {"file": base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()}


def test_it_answers_as_locally(client: TestClient, classifier: ViewClassifier) -> None:
    inputs = [coded(NOISE[0]), {"image": NOISE[1].tolist()}, NOISE[2].tolist()]
    answer = client.post("/invocations", json={"inputs": inputs, "params": {SECRET: SECRET}})
    assert answer.status_code == 200
    assert answer.json() == {"predictions": answers(classifier, inputs)}


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_it_says_that_it_is_there(client: TestClient, path: str) -> None:
    import mlflow

    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.text.strip() == (mlflow.__version__ if path == "/version" else "")


@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (b'{"inputs": [', "application/json", 400, "the request is not"),
        (b"", "application/json", 400, "the request is not"),
        (b'{"dataframe_records": [{"file": "YQ=="}]}', "application/json", 400, "the request is not"),
        (f'{{"inputs": "{SECRET}'.encode(), "application/json; charset=utf-8", 400, "the request is not"),
        (json.dumps({"inputs": [{SECRET: 1}]}).encode(), "application/json", 400, 'inputs[0] needs "image" or "file"'),
        (
            json.dumps({"inputs": [{"file": SECRET}]}).encode(),
            "application/json",
            400,
            "inputs[0] has a file that is no",
        ),
        (b"image\n1\n", "text/csv", 415, "the header Content-Type is not application/json"),
        (b"{}", "", 415, "the header Content-Type is not application/json"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    client: TestClient, capfd: pytest.CaptureFixture[str], content: bytes, kind: str, status: int, words: str
) -> None:
    answer = client.post("/invocations", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert set(answer.json()) == {"error_code", "message"}
    assert answer.json()["message"].startswith(words)
    assert "\n" not in answer.json()["message"]
    assert SECRET not in answer.text + "".join(capfd.readouterr())
    assert client.post("/invocations", json={"inputs": [NOISE[0].tolist()]}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/invocations", f"/{SECRET}"])
def test_there_is_nothing_else(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 405)
    assert SECRET not in answer.text


def test_it_sends_nobody_to_another_host(client: TestClient) -> None:
    answer = client.post("/invocations/?q=X", json={}, headers={"Host": "elsewhere"}, follow_redirects=False)
    assert answer.status_code == 404


@pytest.mark.parametrize("told", [True, False])
def test_a_request_that_is_too_large_is_not_read(classifier: ViewClassifier, told: bool) -> None:
    read = []

    def parts() -> Iterator[bytes]:
        for number in range(1000):
            read.append(number)
            yield bytes(1 << 12)

    with TestClient(application(classifier, most=1 << 20)) as client:
        length = {"Content-Length": str(1000 << 12)} if told else {}
        answer = client.post("/invocations", content=parts(), headers=JSON | length)
        assert answer.status_code == 413
        assert answer.json()["message"] == "the request is larger than 1 MiB; send less at a time"
        fits = {"inputs": [NOISE[0].tolist()]}
        assert client.post("/invocations", json=fits).status_code == 200


def test_a_failure_of_ours_shows_no_trace(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(server, "answers_to_json", fail)
    answer = client.post("/invocations", json={"inputs": [SECRET]})
    assert answer.status_code == 500
    assert answer.json() == {
        "error_code": "INTERNAL_ERROR",
        "message": "the server failed over this request; its log says where",
    }
    said = "".join(capfd.readouterr())
    assert re.fullmatch(r"a request failed: ValueError in fail, line \d+\n", said)


def test_a_request_that_does_not_arrive(classifier: ViewClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", 0.01)

    class Slow:
        headers: ClassVar = {"content-type": "application/json"}

        async def stream(self) -> Any:
            yield b"{"
            await asyncio.sleep(3600)

    with pytest.raises(server._Refused, match="did not arrive within") as refused:
        asyncio.run(server._body(Slow(), 100))  # type: ignore[arg-type]
    assert refused.value.status == 408


class Body(bytearray):
    """What weak references can be made to."""


@pytest.mark.parametrize(
    "content", [b"{", b'{"inputs": [7]}', b'{"inputs": [[[1, 2], [3, 4]]]}', b"x" * 2000, b"failing", b"gone"]
)
def test_nothing_holds_a_body_that_was_answered(
    classifier: ViewClassifier, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    bodies: list[weakref.ref[Body]] = []

    def made() -> Body:
        body = Body()
        bodies.append(weakref.ref(body))
        return body

    def answered(classifier: ViewClassifier, body: bytearray, *rest: Any) -> Any:
        if body == b"failing":
            raise ValueError
        return answers_to_json(classifier, body, *rest)

    messages = [
        {"type": "http.request", "body": content, "more_body": content == b"gone"},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    monkeypatch.setattr(server, "bytearray", made, raising=False)
    monkeypatch.setattr(server, "answers_to_json", answered)
    app = application(classifier, most=1000)
    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b""}
    scope |= {"headers": [(b"content-type", b"application/json")], "client": ("127.0.0.9", 1)}

    async def tried() -> bool:
        await app(scope, receive, send)
        await run_in_threadpool(int)  # the same thread, which lets go of what it did before
        return bodies[0]() is None

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(tried())
    finally:
        gc.enable()
    assert sent[0]["status"] == {b"x": 413, b"f": 500}.get(content[:1], 200 if b"[[[" in content else 400)


def test_one_client_has_one_request_at_work_and_few_that_wait() -> None:
    async def tried() -> None:
        turns, at_work, most = server._Turns(), set[str](), list[int]()

        async def ask(client: str) -> None:
            async with turns.of(client):
                assert client not in at_work
                at_work.add(client)
                most.append(len(at_work))
                await asyncio.sleep(0.001)
                at_work.discard(client)

        await asyncio.gather(*[ask(client) for client in "abab" * 4])
        assert max(most) == 2
        waiting = [asyncio.create_task(ask("a")) for _ in range(server.WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(server._Refused, match="requests of this client wait") as refused:
            await ask("a")
        assert refused.value.status == 429
        await ask("b")
        await asyncio.gather(*waiting)
        await ask("a")

    asyncio.run(tried())


def test_a_port_that_is_taken_or_a_host_of_nobody() -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EchosynthError, match=rf"--host 127\.0\.0\.1 --port {port} cannot be used .*another port"):
            listening("127.0.0.1", port)
    with pytest.raises(EchosynthError, match=r"--host 203\.0\.113\.7 --port 0 cannot be used"):
        listening("203.0.113.7", 0)


def with_a_network(classifier: ViewClassifier, forward: Callable[[], None]) -> ViewClassifier:
    """The same classifier, which does something before each batch."""
    found = copy.copy(classifier)
    found.network = copy.deepcopy(classifier.network)
    found.network.register_forward_pre_hook(lambda *_: forward())
    return found


def pictures(count: int) -> bytearray:
    return bytearray(json.dumps({"inputs": [[[1]]] * count}).encode())


def test_requests_take_turns_in_the_network_and_hold_no_place_meanwhile(
    classifier: ViewClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, place = list[str](), threading.BoundedSemaphore(1)
    monkeypatch.setattr(served_requests, "_PLACES", place)

    def first() -> None:
        order.append("first")
        if len(order) == 1:
            assert place.acquire(blocking=False)
            place.release()
            other.start()
            while not served_requests._NETWORK._work_queue.qsize():
                time.sleep(0.001)

    another = with_a_network(classifier, lambda: order.append("other"))
    other = threading.Thread(target=answers_to_json, args=(another, pictures(1)))
    count = 2 * served_requests.BATCH + 1
    assert len(answers_to_json(with_a_network(classifier, first), pictures(count))) == count
    other.join()
    assert order == ["first", "other", "first", "first"]


def test_a_request_is_stopped_between_batches(classifier: ViewClassifier) -> None:
    stopped, batches = threading.Event(), list[None]()

    def forward() -> None:
        batches.append(None)
        stopped.set()

    with pytest.raises(EchosynthError, match="the server is being stopped; send the request again"):
        answers_to_json(with_a_network(classifier, forward), pictures(256), stopped=stopped)
    assert len(batches) == 1
    with pytest.raises(EchosynthError, match="the server is being stopped"):  # it does not begin, either
        answers_to_json(classifier, pictures(1), stopped=stopped)


def test_what_the_network_has_to_do_is_limited(classifier: ViewClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    size = classifier.preprocessing.size
    monkeypatch.setattr(served_requests, "MAX_PREPARED", 3 * size**2)
    assert len(answers_to_json(classifier, pictures(3))) == 3
    words = rf"^inputs\[3\] brings the request to 4 frames; this model takes 3 of {size} x {size} pixels"
    with pytest.raises(EchosynthError, match=words):
        answers_to_json(classifier, pictures(4))
    with pytest.raises(EchosynthError, match=words):
        answers(classifier, [[[1]]] * 4)


@contextmanager
def answering(app: Any, taken: socket.socket) -> Iterator[None]:
    """A real server in a thread of this process. What is sent before the block waits for it."""
    real, made = uvicorn.Server, list[uvicorn.Server]()

    def kept(config: uvicorn.Config) -> uvicorn.Server:
        made.append(real(config))
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn, "Server", kept)
        thread = threading.Thread(target=server.serve, args=(app, taken))
        thread.start()
        try:
            yield
        finally:
            made[0].should_exit = True
            thread.join()
            logging.getLogger("asyncio").setLevel(logging.NOTSET)


def sent(taken: socket.socket, content: bytes, source: str = "127.0.0.1") -> socket.socket:
    found = socket.create_connection(taken.getsockname(), source_address=(source, 0))
    found.sendall(content)
    return found


def received(connection: socket.socket) -> bytes:
    """All until the server closes the connection."""
    found = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            found += part
    return found


def post(path: str, content: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: here", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


PICTURE = bytes(pictures(1))
LAST = post("/invocations", PICTURE, f"Content-Length: {len(PICTURE)}", "Connection: close")


@pytest.mark.parametrize("path", ["/invocations", "/nothing"])
def test_a_body_in_chunks_is_not_read(classifier: ViewClassifier, path: str) -> None:
    with listening("127.0.0.1", 0) as taken:
        chunked = sent(taken, post(path, b"1\r\n{\r\n0\r\n\r\n", "Transfer-Encoding: chunked"))
        nonsense = sent(taken, f"{SECRET}\r\n\r\n".encode())
        good = sent(taken, LAST)
        with answering(application(classifier), taken):
            for wrong in (chunked, nonsense):
                head, _, body = received(wrong).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 400 ")
                assert json.loads(body)["message"].startswith("this is no HTTP request of known length; send")
            assert received(good).startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_brings_nothing_is_closed_and_one_at_work_is_not(
    classifier: ViewClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.01)
    monkeypatch.setattr(server, "answers_to_json", lambda *_: closed.wait())
    with listening("127.0.0.1", 0) as taken:
        good = sent(taken, LAST)
        silent = sent(taken, b"")
        unfinished = sent(taken, LAST[:40])
        with answering(application(classifier), taken):
            assert received(silent) == received(unfinished) == b""
            assert not select.select([good], [], [], 0)[0]
            closed.set()
            assert received(good).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_nobody_wants_may_not_take_for_ever(
    classifier: ViewClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", 0.01)
    with listening("127.0.0.1", 0) as taken, answering(application(classifier), taken):
        refused = sent(taken, post("/nothing", b"{", "Content-Length: 1000"))
        assert b"404" in refused.recv(1 << 16)
        refused.sendall(b"x")  # uvicorn waits no more, now that there is something
        assert b"HTTP" not in received(refused)  # which comes to an end


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 are addresses of this machine on Linux alone")
def test_a_client_has_few_connections(classifier: ViewClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    monkeypatch.setattr(server, "HEAD_SECONDS", 3600)
    with listening("127.0.0.1", 0) as taken:
        held = [sent(taken, b""), sent(taken, b"")]
        third, other = sent(taken, b""), sent(taken, LAST, "127.0.0.2")
        with answering(application(classifier), taken):
            assert received(third).startswith(b"HTTP/1.1 429 ")
            assert not logging.getLogger("asyncio").isEnabledFor(logging.ERROR)
            assert received(other).startswith(b"HTTP/1.1 200 ")
            monkeypatch.setattr(server, "ALL_CONNECTIONS", 2)
            assert received(sent(taken, b"", "127.0.0.3")).startswith(b"HTTP/1.1 429 ")
            held.pop().close()
            while not received(sent(taken, LAST)).startswith(b"HTTP/1.1 200 "):
                pass  # it has not been noticed yet
            held.pop().close()


@contextmanager
def serving(folder: Path, model: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real server: its host and port, and the process."""
    command = [sys.executable, "-m", "echosynth.cli", "serve", "--model", str(model), "--port", "0", *options]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout
    try:
        line = process.stdout.readline().decode()
        found = re.search(r"answers at http://(127\.0\.0\.1:\d+)/invocations; Ctrl-C ends it", line)
        assert found, line + (folder / "server.log").read_text()
        yield found[1], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def ask(address: str, inputs: list[Any]) -> tuple[int, Any]:
    request = urllib.request.Request(f"http://{address}/invocations", json.dumps({"inputs": inputs}).encode(), JSON)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.slow
def test_a_real_server_keeps_its_limits_answers_others_and_leaves_nothing(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    large = coded(np.zeros((10_000, 10_000, 3), np.uint8))  # 300 MB
    with serving(tmp_path, classifier_folder, "--memory", "256", "--pixels", str(2**27)) as (address, process):
        good = [coded(NOISE[0])]
        assert ask(address, good)[0] == 200
        status, content = ask(address, [large])
        assert status == 400
        assert content["message"].startswith("something in the request takes more memory than decoding.memory = 256")
        status, content = ask(address, [{"file": base64.b64encode(SECRET.encode() * 99).decode()}])
        assert status == 400 and str(tmp_path) not in content["message"]
        host, _, port = address.partition(":")
        connection = http.client.HTTPConnection(host, int(port))
        connection.putrequest("POST", f"/{SECRET}")
        connection.endheaders()
        assert connection.getresponse().status == 404
        connection.close()
        assert ask(address, good)[0] == 200
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert list(scratch.glob("echosynth-child-*")) == []
    said = (tmp_path / "server.log").read_text()
    assert said == "Research software, no medical device.\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 are addresses of this machine on Linux alone")
def test_a_request_that_takes_long_does_not_keep_another_client_waiting(
    classifier_folder: Path, tmp_path: Path, write_avi: Callable[..., Path]
) -> None:
    frames = [np.full((1200, 1600, 3), number, np.uint8) for number in range(32)]
    cine = {"file": base64.b64encode(write_avi(tmp_path / "long.avi", frames=frames).read_bytes()).decode()}
    content = json.dumps({"inputs": [cine] * 100})  # half a minute of work at least
    with serving(tmp_path, classifier_folder, "--seconds", "3600") as (address, _):
        host, _, port = address.partition(":")
        hog = http.client.HTTPConnection(host, int(port))
        hog.request("POST", "/invocations", content, JSON)
        other = http.client.HTTPConnection(host, int(port), source_address=("127.0.0.2", 0))
        for _ in range(3):
            other.request("POST", "/invocations", json.dumps({"inputs": [coded(NOISE[0])]}), JSON)
            answer = other.getresponse()
            assert answer.status == 200 and len(json.loads(answer.read())["predictions"]) == 1
        assert not select.select([hog.sock], [], [], 0)[0]
        hog.close()
        other.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_waits_for_nobody_and_leaves_nothing(
    classifier_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_avi: Callable[..., Path],
    number: signal.Signals,
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    frames = [np.full((1200, 1600, 3), number, np.uint8) for number in range(32)]
    cine = {"file": base64.b64encode(write_avi(tmp_path / "long.avi", frames=frames).read_bytes()).decode()}
    content = json.dumps({"inputs": [cine] * 100}).encode()  # half a minute of work at least
    with serving(tmp_path, classifier_folder, "--seconds", "3600") as (address, process):
        host, _, port = address.partition(":")
        at_work, slow = [socket.create_connection((host, int(port))) for _ in range(2)]
        at_work.sendall(post("/invocations", content, f"Content-Length: {len(content)}"))
        while not list(scratch.glob("*/*/file.avi")):
            time.sleep(0.01)
        slow.sendall(post("/invocations", b"{", "Content-Length: 1000"))
        process.send_signal(number)
        process.wait()
        assert b" 200 " not in received(at_work)
        assert b" 408 " not in received(slow)
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as in jobs of a shell's background
    assert process.returncode == (-number if number == signal.SIGTERM else 0 if ignored else 130)
    assert list(scratch.glob("echosynth-child-*")) == []
    assert (tmp_path / "server.log").read_text() == "Research software, no medical device.\n"
